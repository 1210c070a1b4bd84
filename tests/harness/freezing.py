"""Processes that stand still for a while."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Processes that do not run while the block lasts; they may be killed meanwhile."""
    for pid in pids:
        _send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


@contextmanager
def standing_still(everything: Callable[[], Iterable[int]]) -> Iterator[list[int]]:
    """Freeze all of them, also what they start in the last moment; yields their numbers."""
    stopped: list[int] = []
    try:
        while running := [pid for pid in everything() if pid not in stopped]:
            for pid in running:
                _send(pid, signal.SIGSTOP)
            stopped += running
        yield stopped
    finally:
        for pid in stopped:
            _send(pid, signal.SIGCONT)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
