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
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus, TransactionStatus

from appliance.errors import DatabaseError
from appliance.postgres.connect import RECONNECT_INTERVAL_S, Connection, is_away

T = TypeVar("T")
Unit = Callable[[Connection], T]

NOTHING_CHANGED = "Nothing was changed."
UNKNOWN = "Whether the change was made is not known; ask for it, or repeat it with the same key."

_LONGEST_RECONNECT_INTERVAL_S = 0.05

_LEAVE_TOKEN = """
    INSERT INTO appliance.commit_tokens (token)
    SELECT %s WHERE pg_current_xact_id_if_assigned() IS NOT NULL
    RETURNING pg_current_xact_id()::text
"""  # noqa: S105 - SQL, no password
_FIND_TOKEN = "SELECT 1 FROM appliance.commit_tokens WHERE token = %s"  # noqa: S105


class DatabaseUnavailable(DatabaseError):  # noqa: N818 - it says a state of the database
    """The deadline passed. `outcome` truly says what became of the write."""

    def __init__(self, outcome: str, retry_after_s: int = 2) -> None:
        super().__init__("The database is not available.", outcome)
        self.outcome = outcome
        self.retry_after_s = retry_after_s


class _Lost(Exception):  # noqa: N818 - a signal between two functions here, never seen outside
    """The connection was lost before COMMIT was sent, or the server undid the transaction."""


@dataclass
class _InDoubt(Exception):  # noqa: N818
    """The connection was lost during COMMIT."""

    transaction: str
    token: uuid.UUID
    result: object


class Database:
    """Runs units of work on connections that it keeps; safe to share between threads.

    `hold_seconds` bounds how long a unit waits for the database, its turn included;
    `connections` is how many units run at once.
    """

    def __init__(
        self, connect: Callable[[], Connection], hold_seconds: float, connections: int = 8
    ) -> None:
        self._connect = connect
        self._hold_seconds = hold_seconds
        self._turns = threading.BoundedSemaphore(connections)
        self._idle: deque[Connection] = deque()
        self._knocking = threading.Lock()
        self._process = os.getpid()

    def read(self, unit: Unit[T]) -> T:
        """Run a unit in a read-only transaction and return its result."""
        return self._run(unit, b"BEGIN READ ONLY", writes=False)

    def write(self, unit: Unit[T]) -> T:
        """Run a unit in one transaction; it is applied exactly once, or not at all."""
        return self._run(unit, b"BEGIN", writes=True)

    def close(self) -> None:
        """Close the connections that are idle."""
        while (connection := self._pop_idle()) is not None:
            connection.close()

    def _run(self, unit: Unit[T], begin: bytes, *, writes: bool) -> T:
        deadline = time.monotonic() + self._hold_seconds
        if not self._turns.acquire(timeout=self._hold_seconds):
            raise DatabaseUnavailable(NOTHING_CHANGED)
        try:
            return self._run_until(deadline, unit, begin, writes=writes)
        finally:
            self._turns.release()

    def _run_until(self, deadline: float, unit: Unit[T], begin: bytes, *, writes: bool) -> T:
        while True:
            connection = self._checkout(deadline)
            try:
                result = self._attempt(connection, unit, begin, writes=writes)
            except _Lost as lost:
                self._give_up_after(deadline, NOTHING_CHANGED, lost)
            except _InDoubt as doubt:
                if self._committed(doubt, deadline):
                    return doubt.result  # type: ignore[return-value]
            else:
                self._idle.append(connection)
                return result

    def _attempt(self, connection: Connection, unit: Unit[T], begin: bytes, *, writes: bool) -> T:
        try:
            _command(connection, begin)
            result = unit(connection)
            token = self._leave_token(connection) if writes else None
        except psycopg.Error as error:
            away = is_away(error, connection)
            self._undo(connection, away=away)
            if away or isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected)):
                raise _Lost from error
            raise
        except BaseException:
            self._undo(connection)
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
            self._undo(connection, away=in_doubt)
            if in_doubt and token is not None:
                raise _InDoubt(*token, result) from error
            if in_doubt:
                raise _Lost from error
            raise

    def _committed(self, doubt: _InDoubt, deadline: float) -> bool:
        while True:
            connection = self._checkout(deadline, outcome=UNKNOWN)
            try:
                if not _in_progress(connection, doubt.transaction):
                    found = connection.execute(_FIND_TOKEN, (doubt.token,)).fetchone()
                    self._idle.append(connection)
                    return found is not None
                self._idle.append(connection)
            except psycopg.Error as error:
                connection.close()
                if not is_away(error, connection):
                    raise DatabaseUnavailable(UNKNOWN) from error
            self._give_up_after(deadline, UNKNOWN, None)
            time.sleep(RECONNECT_INTERVAL_S)

    def _undo(self, connection: Connection, *, away: bool = False) -> None:
        """Roll back and keep the connection, or close it if that is not possible."""
        if away:
            connection.close()
            return
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                _command(connection, b"ROLLBACK")
            self._idle.append(connection)
        except psycopg.Error:
            connection.close()

    def _checkout(self, deadline: float, outcome: str = NOTHING_CHANGED) -> Connection:
        self._forget_connections_of_the_parent()
        while (connection := self._pop_idle()) is not None:
            if not connection.closed:
                return connection
        try:
            return self._connect()
        except psycopg.OperationalError as error:
            self._give_up_after(deadline, outcome, error)
        return self._reconnect(deadline, outcome)

    def _pop_idle(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _reconnect(self, deadline: float, outcome: str) -> Connection:
        # One thread knocks, the others wait for it: recovery is not slowed by a crowd.
        knocking = self._knocking
        if not knocking.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise DatabaseUnavailable(outcome)
        interval = RECONNECT_INTERVAL_S
        try:
            while True:
                try:
                    return self._connect()
                except psycopg.OperationalError as error:
                    self._give_up_after(deadline, outcome, error)
                time.sleep(interval)
                interval = min(interval * 1.2, _LONGEST_RECONNECT_INTERVAL_S)
        finally:
            knocking.release()

    def _give_up_after(self, deadline: float, outcome: str, cause: Exception | None) -> None:
        if time.monotonic() >= deadline:
            raise DatabaseUnavailable(outcome) from cause

    def _forget_connections_of_the_parent(self) -> None:
        # A forked worker must not speak on sockets that its parent opened.
        if self._process != os.getpid():
            self._idle = deque()
            self._knocking = threading.Lock()
            self._process = os.getpid()


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
