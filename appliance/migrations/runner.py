"""Applies what is pending, engine first, under one advisory lock for both tracks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from appliance import __version__
from appliance.errors import DatabaseError, SchemaError
from appliance.migrations import ledger
from appliance.migrations.tracks import Migration, Track
from appliance.postgres.connect import Connection, is_away

# Any two migrations of this database exclude each other by this number.
ADVISORY_LOCK = 0x4150_504C_0001
# A migration that waits for a lock makes every later query on that table wait too.
STATEMENT_LOCK_TIMEOUT = "2s"

_POLL_S = 0.02
_OBJECTS = """
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname NOT IN ('information_schema', 'appliance')
      AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1 LIMIT 3
"""

Report = Callable[[str], None]


def migrate(
    connection: Connection,
    tracks: tuple[Track, ...],
    *,
    timeout_s: float,
    report: Report,
    adopt: str | None = None,
) -> int:
    """Apply everything that is pending and return how many files ran.

    `connection` is in autocommit mode and belongs to the role that owns the schema. `timeout_s`
    bounds the wait for other migrations and for table locks. `adopt` names a track whose files
    are written into a new ledger without being run. Raises SchemaError, saying which file and
    why; what ran before it stays applied, the file itself leaves nothing.
    """
    deadline = time.monotonic() + timeout_s
    with _exclusive(connection, deadline):
        plans = [(track, _plan(connection, track, tracks, adopt)) for track in tracks]
        for track, plan in plans:
            for migration in plan:
                _apply(connection, track, migration, deadline, report, run=track.name != adopt)
    return sum(len(plan) for _, plan in plans)


def _plan(
    connection: Connection, track: Track, tracks: tuple[Track, ...], adopt: str | None
) -> tuple[Migration, ...]:
    if not ledger.exists(connection, track):
        if track.name != adopt:
            _refuse_objects_without_ledger(connection, track, tracks)
        with connection.transaction():
            ledger.create(connection, track)
    elif track.name == adopt:
        raise SchemaError(
            f"The {track.name} track has a ledger already; there is nothing to adopt.",
            "Run `appliance migrate` without --adopt.",
        )
    return ledger.pending(track, ledger.read(connection, track))


def _refuse_objects_without_ledger(
    connection: Connection, track: Track, tracks: tuple[Track, ...]
) -> None:
    # Only a database that no track has touched can hold objects of unknown origin.
    if any(ledger.exists(connection, other) for other in tracks):
        return
    found = [row[0] for row in connection.execute(_OBJECTS)]
    if found:
        raise SchemaError(
            f"The database holds objects ({', '.join(found)}) but no ledger of the {track.name} "
            "migrations, so it is not known which of them were applied. Nothing was changed.",
            f"If this schema is the one that the {track.name} files make, adopt it: "
            f"appliance migrate --adopt {track.name}",
        )


@contextmanager
def _exclusive(connection: Connection, deadline: float) -> Iterator[None]:
    while not _try_advisory_lock(connection):
        if time.monotonic() >= deadline:
            raise SchemaError(
                "Another container is migrating this database and did not end in time.",
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


def _apply(
    connection: Connection,
    track: Track,
    migration: Migration,
    deadline: float,
    report: Report,
    *,
    run: bool,
) -> None:
    started = time.monotonic()
    while True:
        try:
            _run(connection, track, migration, started, run=run)
        except errors.LockNotAvailable as error:
            if time.monotonic() >= deadline:
                raise _failed(track, migration, "a table it needs stayed locked") from error
            time.sleep(_POLL_S)
        except psycopg.Error as error:
            if is_away(error, connection):
                raise DatabaseError(
                    f"The database went away during {migration.name}; nothing of it was kept."
                ) from error
            raise _failed(track, migration, str(error).strip()) from error
        else:
            break
    took = f"in {_milliseconds(started)} ms" if run else "without running it"
    report(f"{'applied' if run else 'adopted'} {track.name} migration {migration.name} {took}")


def _run(
    connection: Connection, track: Track, migration: Migration, started: float, *, run: bool
) -> None:
    # psycopg's own parameters would forbid several statements in one string; bytes have none.
    statements = migration.sql.encode()
    if run and not migration.transactional:
        connection.execute(f"SET lock_timeout = '{STATEMENT_LOCK_TIMEOUT}'")
        connection.execute(statements)
        connection.execute("RESET lock_timeout")
    with connection.transaction():
        if run and migration.transactional:
            connection.execute(f"SET LOCAL lock_timeout = '{STATEMENT_LOCK_TIMEOUT}'")
            connection.execute(statements)
        ledger.record(connection, track, migration, _milliseconds(started), __version__)


def _failed(track: Track, migration: Migration, reason: str) -> SchemaError:
    return SchemaError(
        f"The {track.name} migration {migration.name} failed: {reason}",
        "Nothing of this file was kept. Mend it and start again."
        if migration.transactional
        else "It runs outside a transaction: see what it left, then mend it and start again.",
    )


def _milliseconds(since: float) -> int:
    return round((time.monotonic() - since) * 1000)
