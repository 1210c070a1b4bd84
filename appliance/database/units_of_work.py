"""Units of work: held while the database is away, never failed for it and never applied twice.

A unit is a function that runs inside one transaction. If the connection is lost before COMMIT
was sent, the unit runs again on a new connection, until a deadline. If it is lost during COMMIT,
the outcome is looked up: every writing transaction leaves a token, and when the server process
that worked for it is gone, the token is there exactly if the transaction committed. (The
transaction's number would not do: after a crash Postgres may give one that was never flushed to
another transaction; see docs/decisions/0006-commit-tokens.md.)

What is known beforehand rides along: a transaction that only asks is one round trip, one that
writes takes two more than its unit (docs/decisions/0020-one-round-trip.md).
"""

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from appliance.database import event_loop
from appliance.database.connect import RECONNECT_INTERVAL_S, Connection, is_away
from appliance.database.event_loop import WouldBlock
from appliance.database.holds import (
    NOTHING_CHANGED,
    RUN_LIMIT_S,
    UNKNOWN,
    DatabaseUnavailable,
    Deadline,
    Hold,
    Holds,
)
from appliance.database.pipeline import OutdatedStatementError, Query, Session, no_answer
from appliance.database.pool import ConnectionPool

T = TypeVar("T")
# It is given the connection, and the answers of what opened the transaction.
Unit = Callable[..., T]
Queries = Sequence[Query[Any]]

_BEGIN = Query("BEGIN", (), no_answer)
_BEGIN_READ_ONLY = Query("BEGIN READ ONLY", (), no_answer)
_COMMIT = Query("COMMIT", (), no_answer)
_ROLLBACK = Query("ROLLBACK", (), no_answer)
_OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})
_LEAVE_TOKEN = """
    INSERT INTO appliance.commit_tokens (token)
    SELECT $1::uuid WHERE pg_current_xact_id_if_assigned() IS NOT NULL
"""  # noqa: S105 - SQL, no password
_FIND_TOKEN = "SELECT 1 FROM appliance.commit_tokens WHERE token = $1"  # noqa: S105 - SQL, no password
# Tokens must never repeat. A generator of our own: an app may seed the shared one.
_tokens = random.Random()  # noqa: S311 - no secret
os.register_at_fork(after_in_child=_tokens.seed)
# The server has undone the work, and in another transaction it may well succeed.
_UNDONE = (errors.SerializationFailure, errors.DeadlockDetected, OutdatedStatementError)


def _nothing(_result: object) -> Queries:
    return ()


@dataclass
class _Lost(Exception):  # noqa: N818 - a signal between two functions here, never seen outside
    """The connection was lost before COMMIT was sent (`away`), or the server undid the work."""

    away: bool


@dataclass
class _InDoubt(Exception):  # noqa: N818 - a signal between functions here, never seen outside
    """The connection was lost during COMMIT."""

    session: Session
    token: str
    result: object


class Database:
    """Runs units of work on connections that it keeps; safe to share between threads.

    `hold_seconds` bounds how long a unit waits for the database, its turn included; one that a
    frozen server does not answer is given up `RUN_LIMIT_S` after its start. `connections` is how
    many units run at once. `report` is told what was held, when it is over. `socket` is where
    `connect` goes to.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        socket: Path,
        hold_seconds: float,
        connections: int = 8,
        report: Callable[[Hold], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._socket = socket
        self._hold_seconds = hold_seconds
        self._connections = connections
        self._report = report
        self._begin_anew()
        # A forked worker must not speak on sockets that its parent opened, and has none of its
        # threads. At the fork, because several of its own may come with its first requests.
        os.register_at_fork(after_in_child=_weakly(self._begin_anew))

    def ask(self, *queries: Query[Any]) -> list[Any]:
        """Answer the queries in one read-only transaction, which is one round trip.

        They are all sent before the first answer is read: the first that refuses is what is raised.
        In the event loop it waits for nothing but these answers, or raises WouldBlock.
        """
        if event_loop.in_loop():
            return self._ask_in_loop(queries)
        return self._run(lambda connection: _ask(connection, queries), self._deadline())

    def read(self, unit: Unit[T], opening: Queries = ()) -> T:
        """Run a unit in a read-only transaction and return its result.

        The unit is given the connection and the answers of `opening`, which rides with BEGIN.
        """
        return self._run(lambda connection: _read(connection, unit, opening), self._deadline())

    def write(
        self, unit: Unit[T], opening: Queries = (), closing: Callable[[T], Queries] = _nothing
    ) -> T:
        """Run a unit in one transaction; it is applied exactly once, or not at all.

        `closing` makes queries of its result, which ride with COMMIT.
        """
        return self._run(
            lambda connection: _write(connection, unit, opening, closing), self._deadline()
        )

    def probe(self, unit: Unit[T], limit_s: float) -> T:
        """Like `read`, for a question about the database itself: not held for long, nor counted."""
        deadline = Deadline(None, limit_s, limit_s)
        return self._run(lambda connection: _read(connection, unit, ()), deadline)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._pool.close()

    def _ask_in_loop(self, queries: Queries) -> list[Any]:
        deadline = self._deadline()
        if not self._turns.acquire(blocking=False):
            raise WouldBlock(deadline)
        try:
            return self._ask_on_idle(queries, deadline)
        finally:
            self._turns.release()

    def _ask_on_idle(self, queries: Queries, deadline: Deadline) -> list[Any]:
        connection = self._pool.check_out_idle(deadline)
        if connection is None:
            raise WouldBlock(deadline)
        try:
            return _ask(connection, queries)
        except _Lost as lost:
            if lost.away:
                deadline.hold()
            raise WouldBlock(deadline) from lost
        finally:
            self._pool.give_back(connection)

    def _deadline(self) -> Deadline:
        if isinstance(carried := event_loop.take_carried(), Deadline):
            return carried
        limit_s = max(RUN_LIMIT_S, self._hold_seconds)
        return Deadline(self._holds, self._hold_seconds, limit_s)

    def _run(self, attempt: Callable[[Connection], T], deadline: Deadline) -> T:
        if event_loop.in_loop():
            raise WouldBlock
        if getattr(self._thread, "busy", False):
            raise RuntimeError(
                "a unit of work must not start another one: it would wait for itself"
            )
        given_up = False
        self._thread.busy = True
        try:
            # Of one that the event loop has held nothing may be left.
            if deadline.is_held:
                deadline.check(NOTHING_CHANGED)
            return self._run_in_turn(deadline, attempt)
        except DatabaseUnavailable:
            given_up = True
            raise
        finally:
            self._thread.busy = False
            deadline.end(given_up=given_up)

    def _run_in_turn(self, deadline: Deadline, attempt: Callable[[Connection], T]) -> T:
        if not self._turns.acquire(blocking=False):
            if self._holds.any:
                deadline.hold()
            if not self._turns.acquire(timeout=deadline.remaining()):
                raise DatabaseUnavailable(NOTHING_CHANGED)
        try:
            return self._run_until(deadline, attempt)
        finally:
            self._turns.release()

    def _run_until(self, deadline: Deadline, attempt: Callable[[Connection], T]) -> T:
        while True:
            connection = self._pool.check_out(deadline, NOTHING_CHANGED)
            try:
                return attempt(connection)
            except _Lost as lost:
                if lost.away:
                    deadline.hold()
                deadline.check(NOTHING_CHANGED, lost)
            except _InDoubt as doubt:
                deadline.hold()
                if self._committed(doubt, deadline):
                    return doubt.result  # type: ignore[return-value]  # what this unit of work returns
            finally:
                self._pool.give_back(connection)

    def _committed(self, doubt: _InDoubt, deadline: Deadline) -> bool:
        while True:
            deadline.check(UNKNOWN)
            connection = self._pool.check_out(deadline, UNKNOWN)
            try:
                # In this order: a token that is not there says nothing while it may still come.
                over = doubt.session.is_over(connection)
                (found,) = connection.run(Query(_FIND_TOKEN, (doubt.token,), bool))
                if found or over:
                    return bool(found)
            except psycopg.Error as error:
                if not is_away(error, connection):
                    raise DatabaseUnavailable(UNKNOWN) from error
            finally:
                self._pool.give_back(connection)
            time.sleep(RECONNECT_INTERVAL_S)

    def _begin_anew(self) -> None:
        self._pool = ConnectionPool(self._connect, self._socket)
        self._turns = threading.BoundedSemaphore(self._connections)
        self._holds = Holds(self._report)
        self._thread = threading.local()


def _ask(connection: Connection, queries: Queries) -> list[Any]:
    try:
        return connection.run(_BEGIN_READ_ONLY, *queries, _COMMIT)[1:-1]
    except BaseException as error:
        _undo_after(error, connection)
        raise


def _read(connection: Connection, unit: Unit[T], opening: Queries) -> T:
    try:
        opened = connection.run(_BEGIN_READ_ONLY, *opening)[1:]
        result = unit(connection, *opened)
        connection.run(_COMMIT)
    except BaseException as error:
        _undo_after(error, connection)
        raise
    return result


def _write(
    connection: Connection, unit: Unit[T], opening: Queries, closing: Callable[[T], Queries]
) -> T:
    try:
        session = connection.session
        opened = connection.run(_BEGIN, *opening)[1:]
        result = unit(connection, *opened)
        # Without a system call: each one lets go of the interpreter's lock.
        token = f"{_tokens.getrandbits(128):032x}"
        last = (*closing(result), Query(_LEAVE_TOKEN, (token,), no_answer), _COMMIT)
        try:
            connection.run(*last)
        except psycopg.Error as error:
            if is_away(error, connection):
                raise _InDoubt(session, token, result) from error
            raise
    except _InDoubt:
        raise
    except BaseException as error:
        _undo_after(error, connection)
        raise
    return result


def _undo_after(error: BaseException, connection: Connection) -> None:
    """Undo what an error leaves behind; raises _Lost instead if the work is to be run again."""
    away = isinstance(error, psycopg.Error) and is_away(error, connection)
    if not away:
        _undo(connection)
    if away or isinstance(error, _UNDONE):
        raise _Lost(away) from error


def _undo(connection: Connection) -> None:
    # If that fails, or something is still under way, the connection is not given back to anyone.
    with suppress(psycopg.Error):
        if connection.info.transaction_status in _OPEN:
            connection.run(_ROLLBACK)


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Call the method as long as its object lives, without keeping it alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (found := reference()) is not None:
            found()

    return call
