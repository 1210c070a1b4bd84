"""Processes that stand still for a while."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tests.harness.processes import read, with_descendants

# Stopped; dead and not yet reaped; or in the kernel, which stops it before it runs on. A shell is
# there for as long as a child that it has just forked stands still.
_AT_REST = "TZD"


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
def standing_still(*tops: int) -> Iterator[list[int]]:
    """Freeze processes and all below them, also what they start in the last moment.

    Yields their numbers.
    """
    stopped: list[int] = []
    try:
        # One that has not obeyed yet may start another, which is found in the next look.
        while restless := [
            pid for pid in _with_descendants(tops) if pid not in stopped or _runs(pid)
        ]:
            for pid in restless:
                _send(pid, signal.SIGSTOP)
            stopped += [pid for pid in restless if pid not in stopped]
            time.sleep(0.001)
        yield stopped
    finally:
        for pid in reversed(stopped):
            _send(pid, signal.SIGCONT)


def kill_tree(*tops: int) -> list[int]:
    """SIGKILL processes and all below them, as `docker rm -f` does; returns their numbers.

    They stand still meanwhile: none starts one more, or starts again what has died.
    """
    with standing_still(*tops) as doomed:
        for pid in doomed:
            _send(pid, signal.SIGKILL)
    return doomed


def _with_descendants(tops: Iterable[int]) -> list[int]:
    return [pid for top in tops for pid in with_descendants(top)]


def _runs(pid: int) -> bool:
    process = read(pid)
    return process is not None and process.state not in _AT_REST


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
