"""A client's socket that costs fewer system calls: each one gives the interpreter away."""

import socket
import struct
from typing import Any

# Between two pieces of a request or of an answer. A client that stalls holds up a thread.
STALL_TIMEOUT_S = 20.0

# As plain numbers: Python's own are flags, which are slow to combine.
_AT_ONCE = int(socket.MSG_DONTWAIT)


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
        self._collected: list[bytes] | None = None

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
        if not self._limit_s or self._collected is not None:
            return self.receive_at_once(bufsize, flags)
        if self._kept_s != self._limit_s:
            self._tell_kernel(socket.SO_RCVTIMEO, self._limit_s)
            self._kept_s = self._limit_s
        try:
            return super().recv(bufsize, flags)
        except BlockingIOError:
            raise TimeoutError("the client stalled") from None

    def receive_at_once(self, bufsize: int, flags: int = 0) -> bytes:
        """Read what has arrived; raises BlockingIOError if nothing has."""
        return super().recv(bufsize, flags | _AT_ONCE)

    def collect(self) -> None:
        """Neither send nor wait from now on: keep what is to be sent."""
        self._collected = []

    def take_collected(self) -> bytes:
        """Send and wait again; returns what was to be sent meanwhile."""
        collected, self._collected = self._collected or [], None
        return b"".join(collected)

    def send_at_once(self, data: bytes) -> bytes:
        """Send as much as the kernel takes without waiting, and return the rest."""
        try:
            return data[super().send(data, _AT_ONCE) :]
        except BlockingIOError:
            return data

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
        if self._collected is not None:
            self._collected.append(data)
            return
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
