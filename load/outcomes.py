"""What became of each request, recorded once."""

import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, NamedTuple

from load.connection import Response
from load.http_request import HttpRequest
from load.switch import B

NOTHING_CHANGED = "Nothing was changed."


class RequestOutcome(Enum):
    """What a client knows when it has the answer, or has none."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"  # a write, and the answer says that it was not made
    IN_DOUBT = "in doubt"  # a write that was made, or was not
    FAILED = "failed"  # a read


class Sample(NamedTuple):
    """One request, from its first attempt to its answer, in seconds of the monotonic clock.

    `failures` of its attempts were cut off, refused or answered with an error.
    """

    began: float
    ended: float
    failures: int
    writes: bool

    @property
    def seconds(self) -> float:
        """How long its client was without an answer."""
        return self.ended - self.began

    @property
    def milliseconds(self) -> float:
        """The same in milliseconds."""
        return self.seconds * 1000


@dataclass(frozen=True)
class Exchange(Generic[B]):
    """A request and its answer. `retried` says why each attempt before the last was in vain."""

    request: HttpRequest
    number: str
    backend: B
    began: float
    ended: float
    response: Response
    retried: tuple[str, ...] = ()

    @property
    def outcome(self) -> RequestOutcome:
        """What the client knows."""
        if self.response.status == self.request.status:
            return RequestOutcome.ACKNOWLEDGED
        if not self.request.writes:
            return RequestOutcome.FAILED
        refused = NOTHING_CHANGED.encode() in self.response.body
        return RequestOutcome.REFUSED if refused else RequestOutcome.IN_DOUBT

    @property
    def sample(self) -> Sample:
        """Its times."""
        failed = self.outcome is not RequestOutcome.ACKNOWLEDGED
        return Sample(self.began, self.ended, len(self.retried) + failed, self.request.writes)

    def __str__(self) -> str:
        # By the clock of the logs.
        at = time.time() - time.monotonic() + self.ended
        detail = self.response.body[:300].decode(errors="replace")
        what = f"{self.request.name} at {self.backend.url} after {self.sample.seconds:.3f} s"
        return f"{at:.3f} {what}: {self.response.status} {detail}"


@dataclass
class Outcomes(Generic[B]):
    """All of them. For many threads. `retried` counts requests by why they were sent again."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[Exchange[B]] = field(default_factory=list)
    counts: Counter[RequestOutcome] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    _answered: Counter[B] = field(default_factory=Counter)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def longest_s(self) -> float:
        """The longest time without an answer."""
        return max((sample.seconds for sample in self.samples), default=0.0)

    def record(self, exchange: Exchange[B]) -> None:
        """One more has its outcome."""
        with self._changed:
            self.samples.append(exchange.sample)
            self.counts[exchange.outcome] += 1
            self.retried.update(set(exchange.retried))
            if exchange.outcome is not RequestOutcome.ACKNOWLEDGED:
                self.failures.append(exchange)
            self._answered[exchange.backend] += 1
            self._changed.notify_all()

    def wait_for_more(self, count: int, backends: Collection[B], limit_s: float) -> None:
        """Wait until each of these has answered so many more; raises TimeoutError."""
        with self._changed:
            wanted = {one: self._answered[one] + count for one in backends}

            def enough() -> bool:
                return all(self._answered[one] >= many for one, many in wanted.items())

            if not self._changed.wait_for(enough, limit_s):
                raise TimeoutError(f"not {count} more answers in {limit_s:g} s; {self.story()}")

    def story(self) -> str:
        """What went wrong, for people."""
        return "\n".join([f"{len(self.failures)} failed", *map(str, self.failures[:8])])
