"""HTTP as a proxy speaks it: connections are kept, and nothing is sent twice.

On bare sockets: a request costs a small part of what it costs any server, so that the bench
measures servers and not its own clients.
"""

import json
import re
import select
import socket
import time
from typing import Any, NamedTuple

# The platform's proxy answers 504 then.
ANSWER_LIMIT_S = 30.0

_NO_CONTENT = 204
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Response(NamedTuple):
    """Status, status line with headers, and body. Without an answer the status is 0."""

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The headers by their names in lower case."""
        lines = [line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:-1]]
        return {name.lower(): value.strip() for name, _, value in lines}

    @property
    def document(self) -> Any:
        """The JSON that came."""
        return json.loads(self.body)


class KeptConnection:
    """To one port of this machine; it is opened when it is needed. Whatever fails is an OSError.

    A connection that the server has closed is a failure of the next request, and not opened anew
    in silence. `used_at` is when something was sent or received last, by the monotonic clock.
    """

    def __init__(self, port: int, limit_s: float = ANSWER_LIMIT_S) -> None:
        self.used_at = time.monotonic()
        self._port, self._limit_s = port, limit_s
        self._socket: socket.socket | None = None

    def ask(self, message: bytes) -> Response:
        """Send a request, once, and return the answer, whatever its status."""
        try:
            self.send(message)
            return self.receive()
        except BaseException:
            self.close()
            raise
        finally:
            self.used_at = time.monotonic()

    def send(self, message: bytes) -> None:
        """Send a request and leave the answer to `receive`."""
        self.open().sendall(message)

    def receive(self) -> Response:
        """The one answer that is awaited."""
        data = self._more()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head, start = data[: end + 2], end + 4
        missing = start + _body_length(head) - len(data)
        while missing > 0:
            piece = self._more()
            data += piece
            missing -= len(piece)
        if _CLOSES.search(head):
            self.close()
        return Response(_status(head), head, data[start:])

    def open(self) -> socket.socket:
        """Connect, if it is not connected."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), self._limit_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    @property
    def is_open(self) -> bool:
        """Whether the next request needs no new connection."""
        return self._socket is not None

    def is_stale(self) -> bool:
        """Whether the server ended it while it was idle."""
        # Nothing is under way, so what can be read is the end.
        return self._socket is not None and bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """The next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _more(self) -> bytes:
        if not (piece := self.open().recv(1 << 16)):
            raise ConnectionResetError("the server closed the connection before its answer ended")
        return piece


def _status(head: bytes) -> int:
    return int(head[9:12])


def _body_length(head: bytes) -> int:
    if found := _LENGTH.search(head):
        return int(found[1])
    if _status(head) == _NO_CONTENT:
        return 0
    raise ConnectionError(f"an answer that does not say how long it is: {head[:200]!r}")
