"""Applies what is pending, engine first, under one advisory lock for all tracks."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from appliance import __version__
from appliance.database.connect import Connection, is_away
from appliance.errors import DatabaseError, SchemaError
from appliance.migrations import ledger, migration_errors, statements
from appliance.migrations.plan import Plan, plan
from appliance.migrations.tracks import Migration, Track

# Any two migrations of this database exclude each other by this number.
ADVISORY_LOCK = 0x4150_504C_0001
# A migration that waits for a table makes every later query on that table wait too, so it lets
# them pass again and again.
LOCK_WAIT_S = 1.0
LOCK_PAUSE_S = 1.0

_POLL_S = 0.02
# What a file may leave behind in the session: pg_dump's files empty the search_path for example.
_FORGET_THE_LAST_FILE = "RESET SESSION AUTHORIZATION; RESET ALL; DISCARD TEMP"

WriteLine = Callable[[str], None]


def migrate(
    connection: Connection,
    tracks: tuple[Track, ...],
    *,
    timeout_s: float,
    report: WriteLine,
    adopt: Collection[str] = (),
) -> int:
    """Apply everything that is pending and return how many files ran or were adopted.

    `connection` is in autocommit mode and belongs to the role that owns the schema. `timeout_s`
    bounds the wait for other migrations and for table locks. `adopt` names tracks whose files
    are written into their ledger without being run. Raises SchemaError, saying which file and
    why; what ran before it stays applied, the file itself leaves nothing. Raises DatabaseError
    if the connection is lost; it may then be run again.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with _exclusive(connection, deadline, timeout_s):
            plans = plan(connection, tracks, adopt)
            _create_ledgers(connection, plans)
            for item in plans:
                _carry_out(connection, item, deadline, report)
    except psycopg.Error as error:
        if is_away(error, connection):
            raise DatabaseError(
                "The database went away during the migrations.", "Start again."
            ) from error
        raise migration_errors.of_ledger(error) from error
    return sum(len(item.pending) for item in plans)


@contextmanager
def _exclusive(connection: Connection, deadline: float, timeout_s: float) -> Iterator[None]:
    while not _try_advisory_lock(connection):
        # Asked again and again: a session that waits inside a statement would itself be waited
        # for by CREATE INDEX CONCURRENTLY.
        if time.monotonic() >= deadline:
            raise SchemaError(
                "Another process is migrating this database and did not end within "
                f"{timeout_s:g} s.",
                "Wait for it, or raise MIGRATION_TIMEOUT.",
            )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))


def _try_advisory_lock(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK,)).fetchone()
    return bool(row and row[0])


def _create_ledgers(connection: Connection, plans: tuple[Plan, ...]) -> None:
    missing = [item.track for item in plans if not ledger.exists(connection, item.track)]
    if missing:
        with connection.transaction():
            for track in missing:
                known = ledger.read(connection, track)
                ledger.create(connection, track)
                for migration in track.migrations[: len(known)]:
                    ledger.record(connection, track, migration, 0, __version__)


def _carry_out(connection: Connection, item: Plan, deadline: float, report: WriteLine) -> None:
    for migration in item.pending:
        started = time.monotonic()
        if item.adopts:
            ledger.record(connection, item.track, migration, 0, __version__)
            report(f"adopted {item.track.name} migration {migration.name} without running it")
        else:
            _apply(connection, item.track, migration, deadline)
            took = _milliseconds(started)
            report(f"applied {item.track.name} migration {migration.name} in {took} ms")


def _apply(connection: Connection, track: Track, migration: Migration, deadline: float) -> None:
    run = _run_in_transaction if migration.transactional else _run_one_by_one
    while True:
        try:
            connection.execute(_FORGET_THE_LAST_FILE)
            run(connection, track, migration, deadline)
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if not migration.transactional or time.monotonic() + LOCK_PAUSE_S >= deadline:
                raise migration_errors.of_lock(track, migration) from error
            time.sleep(LOCK_PAUSE_S)
        except psycopg.Error as error:
            if is_away(error, connection):
                raise migration_errors.of_connection(track, migration) from error
            raise migration_errors.of_statement(track, migration, error) from error
        else:
            return


def _run_in_transaction(
    connection: Connection, track: Track, migration: Migration, _deadline: float
) -> None:
    started = time.monotonic()
    with connection.transaction():
        number = _transaction_number(connection)
        connection.execute(f"SET LOCAL lock_timeout = {round(LOCK_WAIT_S * 1000)}")
        # psycopg would forbid several statements in one string with parameters; bytes have none.
        connection.execute(migration.sql.encode())
        if _transaction_number(connection) != number:
            raise migration_errors.of_transaction(track, migration)
        ledger.record(connection, track, migration, _milliseconds(started), __version__)


def _run_one_by_one(
    connection: Connection, track: Track, migration: Migration, deadline: float
) -> None:
    started = time.monotonic()
    # CREATE INDEX CONCURRENTLY waits long and lets traffic pass meanwhile; broken off, it leaves
    # an invalid index. So it has all the time there is, and is not tried again.
    remaining = max(1, round((deadline - started) * 1000))
    connection.execute(f"SET lock_timeout = {remaining}")
    for statement in statements.split(migration.sql):
        connection.execute(statement.text.encode())
    connection.execute("RESET lock_timeout")
    ledger.record(connection, track, migration, _milliseconds(started), __version__)


def _transaction_number(connection: Connection) -> object:
    # Works too when the file set the session to read-only or changed its search_path.
    row = connection.execute("SELECT pg_catalog.pg_current_xact_id()::text").fetchone()
    return row and row[0]


def _milliseconds(since: float) -> int:
    return round((time.monotonic() - since) * 1000)
