"""Which backend gets the next request: switched and drained, as a proxy does it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

LIMIT_S = 60.0


class Backend(Protocol):
    """Something that serves on a port of this machine."""

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT"""


B = TypeVar("B", bound=Backend)


@dataclass(eq=False)
class _InFlight(Generic[B]):
    backend: B
    since: float


class Switch(Generic[B]):
    """The backends in use, and which requests are in flight to which. For many threads.

    Every wait is over after `limit_s` at most, with a TimeoutError.
    """

    def __init__(self, *backends: B, limit_s: float = LIMIT_S) -> None:
        self._backends = backends
        self._limit_s = limit_s
        self._in_flight: set[_InFlight[B]] = set()
        self._changed = threading.Condition()

    @property
    def backends(self) -> tuple[B, ...]:
        """Those that get the next requests."""
        return self._backends

    @contextmanager
    def request(self, turn: int = 0) -> Iterator[B]:
        """The backend for one request, which is in flight inside. Waits while there is none.

        `turn` chooses among several.
        """
        with self._changed:
            self._wait(lambda: bool(self._backends), "there is no backend")
            entry = _InFlight(self._backends[turn % len(self._backends)], time.monotonic())
            self._in_flight.add(entry)
            # Whoever waits for a stall has one more to look at.
            self._changed.notify_all()
        try:
            yield entry.backend
        finally:
            with self._changed:
                self._in_flight.discard(entry)
                self._changed.notify_all()

    def switch(self, *backends: B) -> None:
        """Send from now on to these, in turns; to none, and requests wait."""
        with self._changed:
            self._backends = backends
            self._changed.notify_all()

    def drain(self, old: B, limit_s: float | None = None) -> None:
        """Wait until the last request to one that gets no more is answered."""
        with self._changed:
            drained = self._changed.wait_for(lambda: not self._to(old), limit_s or self._limit_s)
            if not drained:
                raise TimeoutError(f"{old.url} still has {self._to(old)} requests in flight")

    def move(self, *backends: B) -> None:
        """Switch, and drain all others."""
        self.switch(*backends)
        with self._changed:
            left = [entry.backend for entry in self._in_flight if entry.backend not in backends]
        for old in left:
            self.drain(old)

    def wait_until_stalled(self, clients: int, seconds: float) -> None:
        """Wait until so many requests have all been in flight for so long."""
        deadline = time.monotonic() + self._limit_s
        with self._changed:
            while (rest := self._until_stalled(clients, seconds)) is None or rest > 0:
                if (left := deadline - time.monotonic()) <= 0:
                    raise TimeoutError(f"no {clients} requests were in flight for {seconds:g} s")
                self._changed.wait(left if rest is None else min(left, rest))

    def _until_stalled(self, clients: int, seconds: float) -> float | None:
        since = [entry.since for entry in self._in_flight]
        return seconds - (time.monotonic() - max(since)) if len(since) >= clients else None

    def _to(self, backend: B) -> int:
        return sum(entry.backend == backend for entry in self._in_flight)

    def _wait(self, fact: Callable[[], bool], otherwise: str) -> None:
        if not self._changed.wait_for(fact, self._limit_s):
            raise TimeoutError(f"{otherwise} after {self._limit_s:g} s")
