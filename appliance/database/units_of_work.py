"""Units of work: held while the database is away, never failed for it and never applied twice.

A unit is a function that runs inside one transaction. If the connection is lost before COMMIT
was sent, the unit runs again on a new connection, until a deadline. If it is lost during COMMIT,
the outcome is looked up: every writing transaction leaves a token, and the token is there exactly
if the transaction committed. (The transaction's number alone would not do: after a crash Postgres
may give a number that was never flushed to another transaction; see
docs/decisions/0006-commit-tokens.md.)
"""

import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus, TransactionStatus

from appliance.database.connect import RECONNECT_INTERVAL_S, Connection, is_away
from appliance.database.holds import (
    NOTHING_CHANGED,
    RUN_LIMIT_S,
    UNKNOWN,
    DatabaseUnavailable,
    Deadline,
    Hold,
    Holds,
)
from appliance.database.pool import ConnectionPool

T = TypeVar("T")
Unit = Callable[[Connection], T]

_LEAVE_TOKEN = """
    INSERT INTO appliance.commit_tokens (token)
    SELECT %s WHERE pg_current_xact_id_if_assigned() IS NOT NULL
    RETURNING pg_current_xact_id()::text
"""  # noqa: S105 - SQL, no password
_FIND_TOKEN = "SELECT 1 FROM appliance.commit_tokens WHERE token = %s"  # noqa: S105


@dataclass
class _Lost(Exception):  # noqa: N818 - a signal between two functions here, never seen outside
    """The connection was lost before COMMIT was sent (`away`), or the server undid the work."""

    away: bool


@dataclass
class _InDoubt(Exception):  # noqa: N818
    """The connection was lost during COMMIT."""

    transaction: str
    token: uuid.UUID
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

    def read(self, unit: Unit[T]) -> T:
        """Run a unit in a read-only transaction and return its result."""
        return self._run(unit, b"BEGIN READ ONLY", self._deadline(), writes=False)

    def write(self, unit: Unit[T]) -> T:
        """Run a unit in one transaction; it is applied exactly once, or not at all."""
        return self._run(unit, b"BEGIN", self._deadline(), writes=True)

    def probe(self, unit: Unit[T], limit_s: float) -> T:
        """Like `read`, for a question about the database itself: not held for long, nor counted."""
        return self._run(unit, b"BEGIN READ ONLY", Deadline(None, limit_s, limit_s), writes=False)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._pool.close()

    def _deadline(self) -> Deadline:
        limit_s = max(RUN_LIMIT_S, self._hold_seconds)
        return Deadline(self._holds, self._hold_seconds, limit_s)

    def _run(self, unit: Unit[T], begin: bytes, deadline: Deadline, *, writes: bool) -> T:
        if getattr(self._thread, "busy", False):
            raise RuntimeError(
                "a unit of work must not start another one: it would wait for itself"
            )
        given_up = False
        self._thread.busy = True
        try:
            with self._turn(deadline):
                return self._run_until(deadline, unit, begin, writes=writes)
        except DatabaseUnavailable:
            given_up = True
            raise
        finally:
            self._thread.busy = False
            deadline.end(given_up=given_up)

    @contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            if self._holds.any:
                deadline.hold()
            if not self._turns.acquire(timeout=deadline.remaining()):
                raise DatabaseUnavailable(NOTHING_CHANGED)
        try:
            yield
        finally:
            self._turns.release()

    def _run_until(self, deadline: Deadline, unit: Unit[T], begin: bytes, *, writes: bool) -> T:
        while True:
            connection = self._pool.check_out(deadline, NOTHING_CHANGED)
            try:
                return self._attempt(connection, unit, begin, writes=writes)
            except _Lost as lost:
                if lost.away:
                    deadline.hold()
                deadline.check(NOTHING_CHANGED, lost)
            except _InDoubt as doubt:
                deadline.hold()
                if self._committed(doubt, deadline):
                    return doubt.result  # type: ignore[return-value]
            finally:
                self._pool.give_back(connection)

    def _attempt(self, connection: Connection, unit: Unit[T], begin: bytes, *, writes: bool) -> T:
        try:
            _command(connection, begin)
            result = unit(connection)
            token = self._leave_token(connection) if writes else None
        except psycopg.Error as error:
            away = is_away(error, connection)
            if not away:
                _undo(connection)
            if away or isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected)):
                raise _Lost(away) from error
            raise
        except BaseException:
            _undo(connection)
            raise
        self._commit(connection, token, result)
        return result

    def _leave_token(self, connection: Connection) -> tuple[str, uuid.UUID] | None:
        token = uuid.uuid4()
        row = connection.execute(_LEAVE_TOKEN, (token,)).fetchone()
        return (row[0], token) if row else None

    def _commit(
        self, connection: Connection, token: tuple[str, uuid.UUID] | None, result: object
    ) -> None:
        try:
            _command(connection, b"COMMIT")
        except psycopg.Error as error:
            in_doubt = is_away(error, connection)
            if not in_doubt:
                _undo(connection)
            if in_doubt and token is not None:
                raise _InDoubt(*token, result) from error
            if in_doubt:
                raise _Lost(away=True) from error
            raise

    def _committed(self, doubt: _InDoubt, deadline: Deadline) -> bool:
        while True:
            deadline.check(UNKNOWN)
            connection = self._pool.check_out(deadline, UNKNOWN)
            try:
                if not _in_progress(connection, doubt.transaction):
                    found = connection.execute(_FIND_TOKEN, (doubt.token,)).fetchone()
                    return found is not None
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


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Call the method as long as its object lives, without keeping it alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (found := reference()) is not None:
            found()

    return call


def _undo(connection: Connection) -> None:
    # If that fails, the connection is not given back to anyone.
    with suppress(psycopg.Error):
        if connection.info.transaction_status != TransactionStatus.IDLE:
            _command(connection, b"ROLLBACK")


def _command(connection: Connection, text: bytes) -> None:
    """Run BEGIN, COMMIT or ROLLBACK without the work of a cursor, which every request would pay."""
    result = connection.pgconn.exec_(text)
    if result.status != ExecStatus.COMMAND_OK:
        raise errors.error_from_result(result)


def _in_progress(connection: Connection, transaction: str) -> bool:
    try:
        row = connection.execute(
            "SELECT pg_xact_status(%s::xid8) = 'in progress'", (transaction,)
        ).fetchone()
    except errors.InvalidParameterValue:
        # "in the future": the number was lost in a crash, so nothing runs under it.
        return False
    return bool(row and row[0])
