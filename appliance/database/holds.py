"""Waiting for the database: how long a unit may, what was held, and what is cut."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from appliance.database.connect import Connection
from appliance.errors import DatabaseError

NOTHING_CHANGED = "Nothing was changed."
UNKNOWN = "Whether the change was made is not known; ask for it, or repeat it with the same key."

# From the start of a unit. Under the 30 s after which proxies give up, above the API's limit for
# one statement, which the server keeps if it can.
RUN_LIMIT_S = 26.0

_LOOK_EVERY_S = 0.5


class DatabaseUnavailable(DatabaseError):  # noqa: N818 - it says a state of the database
    """The deadline passed. `outcome` truly says what became of the write."""

    def __init__(self, outcome: str, retry_after_s: int = 2) -> None:
        super().__init__("The database is not available.", outcome)
        self.outcome = outcome
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Hold:
    """Units of work that waited while the database was away, from the first to the last of them.

    `given_up` of the `requests` met their deadline.
    """

    began_at: datetime
    ended_at: datetime
    requests: int
    given_up: int
    longest_ms: float

    @property
    def words(self) -> str:
        """For the log."""
        many = f"{self.requests} request{'s' * (self.requests != 1)}"
        after = f"; {self.given_up} of them got a 503" if self.given_up else ""
        return f"held {many}, the longest for {self.longest_ms:.0f} ms{after}"


class Holds:
    """Counts the units that are held, and reports when the last of them is through."""

    def __init__(self, report: Callable[[Hold], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._waiting = 0
        self._began = 0.0
        self._requests = self._given_up = 0
        self._longest_s = 0.0

    @property
    def any(self) -> bool:
        """Whether some unit waits right now."""
        return self._waiting > 0

    def begin(self, since: float | None = None) -> float:
        """A unit begins to wait, or did at `since`; returns when, for `end`."""
        began = time.monotonic() if since is None else since
        with self._lock:
            if self._waiting == 0:
                self._began, self._requests, self._given_up, self._longest_s = began, 0, 0, 0.0
            self._waiting += 1
        return began

    def end(self, began: float, *, given_up: bool) -> None:
        """The unit that began to wait then is through, or has given up."""
        now = time.monotonic()
        with self._lock:
            self._waiting -= 1
            self._requests += 1
            self._given_up += given_up
            self._longest_s = max(self._longest_s, now - began)
            if self._waiting:
                return
            hold = self._finished(now)
        # Not in the way of the request that happened to be the last.
        threading.Thread(target=self._report, args=(hold,), daemon=True).start()

    def _finished(self, now: float) -> Hold:
        ended_at = datetime.now(UTC)
        return Hold(
            ended_at - timedelta(seconds=now - self._began),
            ended_at,
            self._requests,
            self._given_up,
            round(self._longest_s * 1000, 1),
        )


class Deadline:
    """How long one unit may wait and run, and whether it had to wait.

    It waits until `waits_until`, and is cut at `due`, both by the monotonic clock.
    """

    def __init__(self, holds: Holds | None, wait_s: float, run_s: float) -> None:
        self._began = time.monotonic()
        self.waits_until = self._began + wait_s
        self.due = self._began + run_s
        self._holds = holds
        self._held_since: float | None = None

    def hold(self) -> None:
        """The database is away; from now on this unit is held."""
        if self._held_since is None and self._holds is not None:
            # One that was cut has waited for a frozen server all the time.
            cut = time.monotonic() >= self.due
            self._held_since = self._holds.begin(self._began if cut else None)

    @property
    def is_held(self) -> bool:
        """Whether it has waited for the database."""
        return self._held_since is not None

    def remaining(self) -> float:
        """Seconds that it may still wait."""
        return max(0.0, self.waits_until - time.monotonic())

    def check(self, outcome: str, cause: Exception | None = None) -> None:
        """Raise DatabaseUnavailable if it has waited long enough."""
        if time.monotonic() >= self.waits_until:
            raise DatabaseUnavailable(outcome) from cause

    def end(self, *, given_up: bool) -> None:
        """The unit is through, or has given up."""
        if self._held_since is not None and self._holds is not None:
            self._holds.end(self._held_since, given_up=given_up)


class ConnectionWatchdog:
    """Cuts connections on which a unit runs for too long: a server that is frozen never answers.

    Cutting makes the call that waits for the answer fail, as if the server had died.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._running: dict[Connection, float] = {}
        self._thread: threading.Thread | None = None

    def start(self, connection: Connection, due: float) -> None:
        """The connection is used from now on, until `due` by the monotonic clock."""
        with self._lock:
            self._running[connection] = due
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="connection-watchdog", daemon=True
                )
                self._thread.start()
        self._some.set()

    def stop(self, connection: Connection) -> None:
        """It is not used any more; after the return it will not be cut."""
        with self._lock:
            self._running.pop(connection, None)

    def _watch(self) -> None:
        while True:
            self._some.wait()
            self._cut_what_is_due()
            time.sleep(_LOOK_EVERY_S)

    def _cut_what_is_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            if not self._running:
                self._some.clear()
            for connection in [one for one, due in self._running.items() if due <= now]:
                del self._running[connection]
                _cut(connection)


def _cut(connection: Connection) -> None:
    with suppress(OSError, psycopg.Error):
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
        with duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
