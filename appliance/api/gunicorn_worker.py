"""gunicorn's threaded worker, hardened: slow clients time out, its own errors are problems."""

import logging
import socket
import sys
import time
from http import HTTPStatus
from typing import Any

from gunicorn import glogging
from gunicorn.http import errors
from gunicorn.workers import gthread

from appliance.system.log import write_block
from appliance.web.client_ip import client_ip
from appliance.web.problems import MEDIA_TYPE, PROGRAM, ProblemError
from appliance.web.request_log import HEADER, log_request, request_id

# A connection that has sent nothing yet is not a kept one; gunicorn would keep it as long.
FIRST_BYTE_TIMEOUT_S = 60.0
# Between two pieces of a request or of an answer. A client that stalls holds up a thread.
STALL_TIMEOUT_S = 20.0

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


class ClientConnection(gthread.TConn):  # type: ignore[misc]
    """A client's connection that does not wait for ever."""

    @property
    def timeout(self) -> float | None:
        """When an idle connection is closed, by the monotonic clock."""
        return self._timeout

    @timeout.setter
    def timeout(self, deadline: float | None) -> None:
        if deadline is not None and not self.initialized:
            deadline = min(deadline, time.monotonic() + FIRST_BYTE_TIMEOUT_S)
        self._timeout = deadline

    def init(self) -> None:
        """Called before each request, after gunicorn has made the socket blocking."""
        super().init()
        self.sock.settimeout(STALL_TIMEOUT_S)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """Serves requests in threads, kept connections in one poll loop."""

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread; a new one becomes one of ours first."""
        if type(conn) is gthread.TConn:
            conn = ClientConnection(conn.cfg, conn.sock, conn.client, conn.server)
        super().enqueue_req(conn)

    def handle_error(self, _req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that never reached the app."""
        status, detail = _explain(exc)
        identifier = request_id(None)
        if status == 500:  # noqa: PLR2004
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


class Logger(glogging.Logger):  # type: ignore[misc]
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
