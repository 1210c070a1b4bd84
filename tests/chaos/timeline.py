"""What happened when: our own doings, what failed, and what the containers said, in one order."""

import re
import threading
import time
from pathlib import Path

# Each request has a line in a container's log, each question for its health, and each refused
# attempt in Postgres'.
_CHATTER = re.compile(
    r" api request method=(GET|POST) path=\S+ status=2| path=/up status=503 "
    r"| FATAL:  (terminating|the database system is|connection to)"
)


class Timeline:
    """Events with seconds since the start; safe to write from many threads."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._events: list[tuple[float, str, str]] = []

    def seconds(self, at: float | None = None) -> float:
        """Seconds since the start, now or at a time of the monotonic clock."""
        return (time.monotonic() if at is None else at) - self._start

    def note(self, who: str, text: str) -> None:
        """Something happened just now."""
        with self._lock:
            self._events.append((self.seconds(), who, text))

    def note_log(self, who: str, line: str) -> None:
        """A container said something; what it says thousands of times is left out."""
        if not _CHATTER.search(line):
            self.note(who, line)

    def last(self, count: int) -> list[str]:
        """The newest events, one line each."""
        with self._lock:
            events = self._events[-count:]
        return [f"{at:9.3f}  {who:<8}  {text}" for at, who, text in events]

    def write(self, path: Path) -> None:
        """Write all of it to a file."""
        path.write_text("\n".join(self.last(len(self._events))) + "\n", encoding="utf-8")
