"""Lines to a server that are cut, altered or counted, and servers that answer one thing only."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Alter = Callable[[bytes], bytes]


class Line:
    """A TCP proxy to a port of this machine. What a test sets holds from the next byte on.

    `cut_after`: so many bytes of requests more, then every connection breaks until it is None
    again. `deaf_to`: an answer is not passed on after a request that holds this.
    """

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self.deaf_to: bytes | None = None
        self.request: Alter = lambda data: data
        self.answer: Alter = lambda data: data
        self.sent = 0
        self.received = 0
        self._port = port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Line":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                ends = (near, far, threading.Event())
                threading.Thread(target=self._forward, args=ends, daemon=True).start()
                threading.Thread(target=self._back, args=ends, daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self.deaf_to and self.deaf_to in data:
                    deaf.set()
                if not self._may_pass(len(data)):
                    break
                far.sendall(self.request(data))
        _shut(near, far)

    def _back(self, near: socket.socket, far: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if deaf.is_set():
                    break
                self.received += len(data)
                near.sendall(self.answer(data))
        _shut(near, far)

    def _may_pass(self, size: int) -> bool:
        with self._lock:
            self.sent += size
            if self.cut_after is not None:
                self.cut_after -= size
            return self.cut_after is None or self.cut_after > 0


@contextmanager
def silent() -> Iterator[str]:
    """The endpoint of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(status: int, body: str, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The endpoint of a server that answers every request in the same way."""

    class Handler(BaseHTTPRequestHandler):
        """Reads what is sent, or the client would see a broken connection."""

        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - the names it looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
