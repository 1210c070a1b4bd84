"""A client's connection as our worker keeps it."""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers import gthread

from appliance.api.client_socket import ClientSocket

# A connection that has sent nothing yet is not a kept one; gunicorn would keep it as long.
FIRST_BYTE_TIMEOUT_S = 60.0
# How long a thread waits for the next request on the connection of the last one.
STAY_S = 0.05

_MOST_AT_ONCE = 8192
_END_OF_HEAD = b"\r\n\r\n"
_WITH_A_BODY = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING", "EXPECT"})


class ClientConnection(gthread.TConn):  # type: ignore[misc]  # gunicorn has no types
    """A client's connection that does not wait for ever.

    `carry` is what a thread goes on with that takes over from the event loop.
    """

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        self.initialized = False
        self._timeout: float | None = None
        super().__init__(cfg, ClientSocket(sock), client, server)
        self.carry: object = None

    def init(self) -> None:
        """Make the parser, once."""
        if not self.initialized:
            self.initialized = True
            self.parser = _Parser(self.cfg, self.sock, self.client)

    @property
    def timeout(self) -> float | None:
        """When an idle connection is closed, by the monotonic clock."""
        return self._timeout

    @timeout.setter
    def timeout(self, deadline: float | None) -> None:
        if deadline is not None and not self.initialized:
            deadline = min(deadline, time.monotonic() + FIRST_BYTE_TIMEOUT_S)
        self._timeout = deadline

    def other_comes_soon(self) -> bool:
        """Wait a moment for the next request, or the client's end; no if it is a GET."""
        if not self._arrived():
            self.sock.settimeout(STAY_S)
            if not self._receive(self.sock.recv):
                return False
        return not self._arrived().startswith(b"GET ")

    def whole_get(self) -> Request | None:
        """Return the next request, without waiting, if it is a GET that has arrived as a whole.

        Whoever handles the connection gets it all the same.
        """
        if _END_OF_HEAD not in self._arrived():
            self._receive(self.sock.receive_at_once)
        arrived = self._arrived()
        if not arrived.startswith(b"GET ") or _END_OF_HEAD not in arrived:
            return None
        request = self.parser.look_ahead()
        if request is None or not _WITH_A_BODY.isdisjoint(name for name, _ in request.headers):
            return None
        return request

    def repeat(self) -> None:
        """Whoever handles the connection next is to get the last request again."""
        self.parser.repeat()

    def _arrived(self) -> bytes:
        arrived: bytes = self.parser.unreader.buf.getvalue()
        return arrived

    def _receive(self, receive: Callable[[int], bytes]) -> bool:
        """Read what comes next; no if nothing came in time."""
        try:
            received = receive(_MOST_AT_ONCE)
        except TimeoutError:
            return False
        except OSError:
            # Found again by whoever reads next.
            return True
        self.parser.unreader.buf.seek(0, os.SEEK_END)
        self.parser.unreader.buf.write(received)
        return True


class _Parser(RequestParser):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's parser, which can be asked for a request before it is taken."""

    _ahead: Request | Exception | None = None

    def look_ahead(self) -> Request | None:
        """Parse the next request; None if that fails, as it will for whoever takes it."""
        try:
            self._ahead = super().__next__()
        except Exception as error:
            self._ahead = error
            return None
        return self._ahead

    def repeat(self) -> None:
        """Give the last one again."""
        self._ahead = self.mesg

    def __next__(self) -> Request:
        ahead, self._ahead = self._ahead, None
        if isinstance(ahead, Exception):
            raise ahead
        return super().__next__() if ahead is None else ahead

    next = __next__
