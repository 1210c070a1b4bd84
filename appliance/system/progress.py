"""How far long work is: bytes, tables, time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Where the work stands. Sizes in bytes; `seconds_left` is None while nobody can tell."""

    phase: str
    done: int
    total: int
    tables: int
    seconds_left: float | None


Report = Callable[[Step], None]


def silent(_step: Step) -> None:
    """Tell nobody."""


class Progress:
    """One phase of the work after the other, told to `report`."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._phase, self._total, self._tables = "", 0, 0
        self._done, self._base = 0, 0
        self._started = 0.0

    def begin(self, phase: str, total: int) -> None:
        """A phase begins, over so many bytes."""
        self._phase, self._total, self._done, self._base, self._tables = phase, total, 0, 0, 0
        self._started = time.monotonic()
        self._report_step()

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        self._report_step()

    def at(self, done: int, tables: int) -> None:
        """So many bytes and tables of the current part."""
        self._done, self._tables = max(self._done, self._base + done), tables
        self._report_step()

    def part_ends(self, size: int) -> None:
        """A part of the phase, of so many bytes, is done."""
        self._base += size
        self._done = max(self._done, self._base)
        self._report_step()

    def _report_step(self) -> None:
        done = min(self._done, self._total)
        elapsed = time.monotonic() - self._started
        left = elapsed * (self._total - done) / done if done and elapsed > 1 else None
        self._report(Step(self._phase, done, self._total, self._tables, left))
