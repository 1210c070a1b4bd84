"""How long the steps of a handoff take."""

import time
from dataclasses import dataclass, field


@dataclass
class Stopwatch:
    """Milliseconds by phase, one after the other."""

    phases_ms: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def lap(self, phase: str) -> None:
        """The phase ends now; it began when the one before it ended."""
        now = time.monotonic()
        self.phases_ms[phase] = milliseconds(self._since, now)
        self._since = now


def milliseconds(since: float, until: float) -> float:
    """Between two times of the monotonic clock, which all containers of a machine share."""
    return round((until - since) * 1000, 1)
