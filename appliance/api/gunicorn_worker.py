"""gunicorn's threaded worker, which answers lookups in its event loop.

It is hardened, too: slow clients time out, and its own errors are problems.
"""

import logging
import selectors
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import greenlet
from gunicorn import glogging
from gunicorn.http import errors
from gunicorn.workers import gthread
from psycopg.waiting import Ready, Wait

from appliance.api.client_connection import ClientConnection
from appliance.database import event_loop
from appliance.database.event_loop import WouldBlock
from appliance.postgres.config import API_CONNECTIONS
from appliance.system.log import Level, write_block
from appliance.web.client_ip import client_ip
from appliance.web.problems import MEDIA_TYPE, PROGRAM, ProblemError
from appliance.web.request_log import HEADER, log_request, request_id

# How long a lookup waits for another one's end before a thread takes it.
_LOOKUP_WAITS_S = 1.0

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


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Answers lookups in its event loop, and everything else in threads.

    Threads that take turns with the interpreter cost more than a lookup does.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handed_over = 0
        self._lookups: deque[tuple[float, ClientConnection]] = deque()
        self._running = 0

    def run(self) -> None:
        """Serve until the stop."""
        self._loop = greenlet.getcurrent()
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """Find out who answers the next request; of a new connection, wait for it first."""
        if type(conn) is gthread.TConn:
            self._await_first(ClientConnection(conn.cfg, conn.sock, conn.client, conn.server))
            return
        conn.init()
        request = conn.whole_get()
        if request is not None and self.wsgi.is_lookup(request.path):
            self._lookups.append((time.monotonic(), conn))
        else:
            self._hand_over(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """See to what has happened, and begin the lookups that have come."""
        super().wait_for_and_dispatch_events(min(timeout, self._lookups_wait_s()))
        # Not those that follow at once on the same connections: they could go on for ever.
        for _ in range(min(len(self._lookups), API_CONNECTIONS - self._running)):
            _, conn = self._lookups.popleft()
            self._running += 1
            self._run(greenlet.greenlet(self._answer), conn)
        # None of those that run has ended for so long. A thread waits until its own deadline.
        while self._lookups and time.monotonic() - self._lookups[0][0] >= _LOOKUP_WAITS_S:
            self._hand_over(self._lookups.popleft()[1])

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread."""
        self._handed_over -= 1
        super().finish_request(conn, fs)

    def handle(self, conn: Any) -> Any:
        """Answer a request, and those that follow soon but are no GET. Runs in a thread.

        To hand a request to a thread and back costs as much as to answer it. So a thread stays with
        its connection for a moment, as long as half of the threads are enough for all.
        """
        event_loop.carry_over(conn.carry)
        conn.carry = None
        kept = super().handle(conn)
        # It was meant for that request, whether or not it was taken.
        event_loop.carry_over(None)
        while kept is True and self._may_stay() and conn.other_comes_soon():
            kept = super().handle(conn)
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Have the app answer it."""
        conn.sock.hold_head()
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock.send_head()

    def _lookups_wait_s(self) -> float:
        """Seconds until something is to be done about the lookups that wait."""
        if not self._lookups:
            return float("inf")
        if self._running < API_CONNECTIONS:
            return 0.0
        return max(0.0, self._lookups[0][0] + _LOOKUP_WAITS_S - time.monotonic())

    def _await_first(self, conn: ClientConnection) -> None:
        conn.set_timeout()
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def _hand_over(self, conn: ClientConnection) -> None:
        self._submit(conn, self.handle, conn)

    def _submit(self, conn: ClientConnection, work: Callable[..., Any], *arguments: Any) -> None:
        self._handed_over += 1
        future = self.tpool.submit(_close_after, conn, work, *arguments)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def _may_stay(self) -> bool:
        return bool(self.alive and self._handed_over <= self.cfg.threads // 2)

    def _answer(self, conn: ClientConnection) -> tuple[ClientConnection, bool | WouldBlock]:
        """Answer a lookup. Runs in a greenlet; what it would send is kept."""
        event_loop.enter(self._suspend)
        conn.sock.collect()
        try:
            return conn, bool(super().handle(conn))
        except WouldBlock as blocked:
            return conn, blocked

    def _suspend(self, descriptor: int, wanted: Wait) -> Ready:
        """Let the loop go on until the descriptor is ready; selectors know psycopg's numbers."""
        resume = partial(self._resume, greenlet.getcurrent())
        self.poller.register(descriptor, wanted, resume)
        self._loop.switch()
        # Whichever it was: psycopg tries both, and neither waits.
        return Ready.RW

    def _resume(self, lookup: greenlet.greenlet, descriptor: int) -> None:
        self.poller.unregister(descriptor)
        self._run(lookup)

    def _run(self, lookup: greenlet.greenlet, *arguments: Any) -> None:
        """Begin a lookup, or go on with it, until it has to wait or ends."""
        outcome = lookup.switch(*arguments)
        if lookup.dead:
            self._running -= 1
            self._finish(*outcome)

    def _finish(self, conn: ClientConnection, outcome: bool | WouldBlock) -> None:
        collected = conn.sock.take_collected()
        if isinstance(outcome, WouldBlock):
            conn.carry = outcome.carry
            conn.repeat()
            self._hand_over(conn)
            return
        try:
            rest = conn.sock.send_at_once(collected)
        except OSError:
            rest, outcome = b"", False
        # A thread waits for the client: until it takes the rest, or until it hangs up.
        if rest or not outcome:
            self._submit(conn, _send_rest, conn, rest, outcome)
        else:
            super().finish_request(conn, _Finished(outcome))

    def handle_error(self, _req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that never reached the app."""
        status, detail = _explain(exc)
        identifier = request_id(None)
        # Not for a client that stalled.
        if status == 500 and not isinstance(exc, TimeoutError):  # noqa: PLR2004 - the status
            told = "".join(traceback.format_exception(exc))
            write_block(PROGRAM, f"a request failed\n{told}", request_id=identifier)
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


class _Finished(NamedTuple):
    """What a thread's future would be to gunicorn."""

    kept: bool

    def cancelled(self) -> bool:
        return False

    def result(self) -> bool:
        return self.kept


def _close_after(conn: ClientConnection, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do the work, and close the connection if it is not kept. Runs in a thread.

    gunicorn would wait for the client's end in its event loop, for two seconds.
    """
    kept = False
    try:
        kept = work(*arguments)
    finally:
        if not kept:
            conn.close(graceful=True)
    return kept


def _send_rest(conn: ClientConnection, rest: bytes, kept: bool) -> bool:
    """Send to a client that takes it slowly. Runs in a thread."""
    try:
        conn.sock.sendall(rest)
    except OSError:
        return False
    return kept


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write_block(PROGRAM, self.format(record), level=_level(record.levelno))


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    return "warning" if number >= logging.WARNING else "info"


def _explain(error: Exception) -> tuple[int, str]:
    for kind, status, detail in _STATUSES:
        if isinstance(error, kind) and not isinstance(error, _OURS):
            return status, detail
    return 500, "Something went wrong here. The log has it under this request id."
