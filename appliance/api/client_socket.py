"""A client's socket that costs fewer system calls: each one gives the interpreter away."""

import socket
import struct
from typing import Any

# Between two pieces of a request or of an answer. A client that stalls holds up a thread.
STALL_TIMEOUT_S = 20.0


class ClientSocket(socket.socket):
    """It waits for a bounded time, which the kernel keeps, and sends the head of an answer with
    what follows it.

    gunicorn sets the time several times in each request, and mostly reads nothing in between. So
    the kernel is told only when something is read. Python itself would look before each read and
    write whether there is anything to be had.
    """

    def __init__(self, accepted: socket.socket) -> None:
        descriptor = accepted.detach()
        super().__init__(accepted.family, accepted.type, accepted.proto, descriptor)
        super().setblocking(True)
        self._limit_s = self._kept_s = STALL_TIMEOUT_S
        self._tell_kernel(socket.SO_RCVTIMEO, STALL_TIMEOUT_S)
        self._tell_kernel(socket.SO_SNDTIMEO, STALL_TIMEOUT_S)
        self._holds_head, self._head = False, b""

    def gettimeout(self) -> float:
        """Seconds that a read may wait."""
        return self._limit_s

    def settimeout(self, value: float | None) -> None:
        """Let a read wait as long; None stands for as long as a client may stall."""
        self._limit_s = STALL_TIMEOUT_S if value is None else value

    def setblocking(self, flag: bool) -> None:
        """Let a read wait as long as a client may stall, or not at all."""
        self._limit_s = STALL_TIMEOUT_S if flag else 0.0

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Read; raises TimeoutError, or BlockingIOError if it may not wait at all."""
        if not self._limit_s:
            return super().recv(bufsize, flags | socket.MSG_DONTWAIT)
        if self._kept_s != self._limit_s:
            self._tell_kernel(socket.SO_RCVTIMEO, self._limit_s)
            self._kept_s = self._limit_s
        try:
            return super().recv(bufsize, flags)
        except BlockingIOError:
            raise TimeoutError("the client stalled") from None

    def hold_head(self) -> None:
        """Keep the next piece that is sent, the head of an answer, until more follows."""
        self._holds_head = True

    def send_head(self) -> None:
        """Send it, if nothing has followed."""
        self._holds_head = False
        if self._head:
            self.sendall(b"")

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]  # a buffer of ours is bytes
        """Send, with a head that was kept; raises TimeoutError if the client takes nothing."""
        if self._holds_head:
            self._holds_head, self._head = False, data
            return
        head, self._head = self._head, b""
        try:
            super().sendall(head + data, flags)
        except BlockingIOError:
            raise TimeoutError("the client stalled") from None

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file after its head; raises TimeoutError if the client takes nothing."""
        self.send_head()
        return super().sendfile(file, offset, count)

    def _tell_kernel(self, option: int, seconds: float) -> None:
        whole, rest = divmod(max(seconds, 0.001), 1)
        self.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(whole), int(rest * 1e6)))
