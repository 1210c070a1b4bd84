"""A proxy on a Unix socket between psycopg and Postgres that cuts connections at COMMIT."""

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path


class Cut(Enum):
    """Where a connection is cut."""

    BEFORE_COMMIT_ARRIVES = auto()
    AFTER_COMMIT_ARRIVED = auto()
    AFTER_COMMIT_WAS_ANSWERED = auto()


class CommitProxy:
    """Cuts as many of the next COMMITs as `cuts` holds, then none.

    `before_cut` runs when a doomed COMMIT is in hand, `after_cut` when it went where it goes and
    the client does not know yet.
    """

    def __init__(self, server: Path) -> None:
        self.server = server
        self.folder = Path(tempfile.mkdtemp(prefix="px-", dir="/tmp"))
        self.cuts: list[Cut] = []
        self.before_cut: Callable[[], None] = lambda: None
        self.after_cut: Callable[[], None] = lambda: None
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "CommitProxy":
        self._listener.bind(str(self.folder / self.server.name))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=_Link(self, client).serve, daemon=True).start()


class _Link:
    """One client's connection, forwarded message by message."""

    def __init__(self, proxy: CommitProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = socket.socket(socket.AF_UNIX)
        self._muted = threading.Event()
        self._answered = threading.Event()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            self._server.connect(str(self._proxy.server))
            threading.Thread(target=self._answer, daemon=True).start()
            # A connection's first message has no type byte.
            self._server.sendall(_message(self._client, head=4))
            self._forward()
        _shut(self._server)
        _shut(self._client)

    def _forward(self) -> None:
        while message := _message(self._client, head=5):
            if _commits(message) and self._proxy.cuts:
                self._cut(self._proxy.cuts.pop(0), message + self._rest_until_sync())
                return
            self._server.sendall(message)

    def _rest_until_sync(self) -> bytes:
        rest = b""
        while message := _message(self._client, head=5):
            rest += message
            if message[:1] == b"S":
                break
        return rest

    def _cut(self, cut: Cut, message: bytes) -> None:
        self._proxy.before_cut()
        self._muted.set()
        if cut is not Cut.BEFORE_COMMIT_ARRIVES:
            self._server.sendall(message)
        if cut is Cut.AFTER_COMMIT_WAS_ANSWERED:
            assert self._answered.wait(30)
        self._proxy.after_cut()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                if self._muted.is_set():
                    self._answered.set()
                else:
                    self._client.sendall(data)
        if not self._muted.is_set():
            _shut(self._client)


def _commits(message: bytes) -> bool:
    """Whether it asks to run COMMIT: binds the nameless portal to the statement of this name."""
    return message[:1] == b"B" and message[5:].startswith(b"\0COMMIT ")


def _message(source: socket.socket, head: int) -> bytes:
    start = _exactly(source, head)
    return start + _exactly(source, struct.unpack("!I", start[-4:])[0] - 4) if start else b""


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
