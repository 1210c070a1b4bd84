"""A stand-in for kamal-proxy: one front door on the loopback, for one application."""

import contextlib
import http.client
import threading
import uuid
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.platform.target import Target

DRAIN_TIMEOUT_S = 30
REPLAYABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)


class NotHealthyError(Exception):
    """The target did not answer /up with 2xx in time."""


class Proxy:
    """Forwards to one target at a time; `deploy` changes it without a gap."""

    def __init__(self, forward_headers: bool = True) -> None:
        self.forward_headers = forward_headers
        self.target: Target | None = None
        self._switching = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def deploy(self, target: Target, timeout_s: float = 120) -> None:
        """Wait for the target's health, switch to it, drain the old one."""
        if not target.wait_until_healthy(timeout_s):
            raise NotHealthyError(f"target not healthy: {target.name} within {timeout_s:g} s")
        with self._switching:
            old, self.target = self.target, target
        if old:
            old.drain(DRAIN_TIMEOUT_S)
            old.close()

    def claim(self) -> Target | None:
        """The target for one request, which counts as in flight from now on."""
        with self._switching:
            if self.target:
                self.target.begin_request()
            return self.target

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        if self.target:
            self.target.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: Proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Forward any request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.server.proxy.claim()
        if target is None:
            self._fail(404)
            return
        try:
            self._forward(target, body)
        finally:
            target.end_request()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the names it looks for

    def _forward(self, target: Target, body: bytes) -> None:
        try:
            connection, response = self._ask(target, body)
            content = response.read()
        except TimeoutError:
            self._fail(504)
        except (OSError, http.client.HTTPException):
            self._fail(502)
        else:
            target.give_back(connection)
            self._answer(response, content)

    def _ask(
        self, target: Target, body: bytes
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send it. As in Go, only a bodyless request is sent again, after a stale connection."""
        connection, reused = target.take_connection()
        try:
            connection.request(self.command, self.path, body or None, self._headers_out())
            return connection, connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            connection.close()
            if reused and not body and self.command in REPLAYABLE:
                return self._ask(target, body)
            raise
        except BaseException:
            connection.close()
            raise

    def _headers_out(self) -> dict[str, str]:
        """Host as it came; X-Forwarded-* trusted without TLS, replaced with it."""
        kept = {
            name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP
        }
        trusted = self.server.proxy.forward_headers
        given = Message() if not trusted else self.headers
        client, host = str(self.client_address[0]), self.headers.get("Host", "")
        earlier = given.get("X-Forwarded-For")
        forwarded = {
            "X-Forwarded-For": f"{earlier}, {client}" if earlier else client,
            "X-Forwarded-Proto": given.get("X-Forwarded-Proto") or "http",
            "X-Forwarded-Host": given.get("X-Forwarded-Host") or host,
            "X-Request-ID": self.headers.get("X-Request-ID") or str(uuid.uuid4()),
        }
        replaced = {name.lower() for name in forwarded}
        return {
            name: value for name, value in kept.items() if name.lower() not in replaced
        } | forwarded

    def _answer(self, response: http.client.HTTPResponse, content: bytes) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, status: int) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
