"""gunicorn's threaded worker, hardened: slow clients time out, its own errors are problems."""

import logging
import select
import socket
import sys
import time
from functools import cached_property
from http import HTTPStatus
from typing import Any

from gunicorn import glogging
from gunicorn.http import errors
from gunicorn.workers import gthread

from appliance.api.client_socket import ClientSocket
from appliance.system.log import write_block
from appliance.web.client_ip import client_ip
from appliance.web.problems import MEDIA_TYPE, PROGRAM, ProblemError
from appliance.web.request_log import HEADER, log_request, request_id

# A connection that has sent nothing yet is not a kept one; gunicorn would keep it as long.
FIRST_BYTE_TIMEOUT_S = 60.0
# How long a thread waits for the next request on the connection of the last one.
STAY_MS = 50

_OURS = (
    errors.InvalidResponseHeader,
    errors.InvalidResponseHeaderName,
    errors.ConfigurationProblem,
)
_STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "The request line is too long."),
    (errors.LimitRequestHeaders, 431, "The headers are too large."),
    (errors.UnsupportedTransferCoding, 501, "This transfer coding is not supported."),
    (errors.ExpectationFailed, 417, "This expectation cannot be met."),
    (errors.ParseException, 400, "The request is malformed."),
)


class ClientConnection(gthread.TConn):  # type: ignore[misc]  # gunicorn has no types
    """A client's connection that does not wait for ever."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, ClientSocket(sock), client, server)

    @property
    def timeout(self) -> float | None:
        """When an idle connection is closed, by the monotonic clock."""
        return self._timeout

    @timeout.setter
    def timeout(self, deadline: float | None) -> None:
        if deadline is not None and not self.initialized:
            deadline = min(deadline, time.monotonic() + FIRST_BYTE_TIMEOUT_S)
        self._timeout = deadline

    def next_comes_soon(self) -> bool:
        """Wait a moment for the next request, or for the client to hang up."""
        return bool(self.parser.unreader.buf.getvalue()) or bool(self._arrivals.poll(STAY_MS))

    @cached_property
    def _arrivals(self) -> select.poll:
        arrivals = select.poll()
        arrivals.register(self.sock, select.POLLIN)
        return arrivals


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves requests in threads, kept connections in one poll loop.

    To hand a request from that loop to a thread and back costs as much as to answer it. So a thread
    stays with its connection for a moment, as long as half of the threads are enough for all.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handed_over = 0

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread; a new one becomes one of ours first."""
        if type(conn) is gthread.TConn:
            conn = ClientConnection(conn.cfg, conn.sock, conn.client, conn.server)
        self._handed_over += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread."""
        self._handed_over -= 1
        super().finish_request(conn, fs)

    def handle(self, conn: Any) -> Any:
        """Answer a request, and those that follow soon. Runs in a thread."""
        kept = super().handle(conn)
        while kept is True and self._may_stay() and conn.next_comes_soon():
            kept = super().handle(conn)
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Have the app answer it."""
        conn.sock.hold_head()
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock.send_head()

    def _may_stay(self) -> bool:
        return bool(self.alive and self._handed_over <= self.cfg.threads // 2)

    def handle_error(self, _req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that never reached the app."""
        status, detail = _explain(exc)
        identifier = request_id(None)
        if status == 500:  # noqa: PLR2004 - the status
            self.log.exception("error in request id=%s", identifier)
        peer = client_ip(addr[0], None, 0) if addr else "-"
        log_request("-", "-", status, 0.0, identifier, peer)
        problem = ProblemError(status, detail)
        body = problem.body(identifier)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            f"{HEADER}: {identifier}\r\n\r\n"
        )
        try:
            client.sendall(head.encode("ascii") + body)
        except OSError:
            return


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages as lines of our log. There is no access log: the app writes one."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's handlers."""
        super().setup(cfg)
        self.error_log.handlers = [_Handler()]

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log a traceback, but not for a client that stalled."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            return
        super().exception(msg, *args, **kwargs)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write_block(PROGRAM, self.format(record))


def _explain(error: Exception) -> tuple[int, str]:
    for kind, status, detail in _STATUSES:
        if isinstance(error, kind) and not isinstance(error, _OURS):
            return status, detail
    return 500, "Something went wrong here. The log has it under this request id."
