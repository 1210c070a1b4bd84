"""When to connect again while Postgres is away: soon, but without a crowd of failed logins."""

import time
from pathlib import Path

import psycopg

# After a clean stop a server refuses for some ten milliseconds, and each attempt that comes late
# makes that longer. One that refuses for longer recovers from a crash, and every attempt costs it a
# process: they get rarer.
_SOON_S = 0.005
_LATEST_S = 0.05
_SOON_ATTEMPTS = 8
_GROWTH = 1.3
_LOOK_EVERY_S = 0.002
_LOOK_FOR_S = 0.5

_FileId = tuple[int, int]


class ReconnectPause:
    """The socket as one caller sees it, from its first refusal on."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._refusals = 0
        self._seen = self._file_id()

    def wait(self, refusal: psycopg.OperationalError) -> None:
        """Wait until it is worth to try again.

        Where there is no socket, or only that of a server that stops, that is when a new one is
        there: looking costs nothing, and a server answers each attempt with a process and a line
        in its log.
        """
        if self._seen is None or _is_stopping(refusal):
            self._await_another()
        else:
            self._refusals += 1
            time.sleep(_pause(self._refusals))
        self._seen = self._file_id()

    def _await_another(self) -> None:
        over = time.monotonic() + _LOOK_FOR_S
        while time.monotonic() < over and self._file_id() in (None, self._seen):
            time.sleep(_LOOK_EVERY_S)

    def _file_id(self) -> _FileId | None:
        try:
            status = self._socket.stat()
        except OSError:
            return None
        # A new file may get the number of the one that was just removed.
        return status.st_ino, status.st_ctime_ns


def _pause(refusals: int) -> float:
    return min(_SOON_S * _GROWTH ** max(0, refusals - _SOON_ATTEMPTS), _LATEST_S)


def _is_stopping(refusal: psycopg.OperationalError) -> bool:
    # A refused connection has no code in psycopg, only the server's words; they are English,
    # because our clusters are made with the locale C.
    return "the database system is shutting down" in str(refusal)
