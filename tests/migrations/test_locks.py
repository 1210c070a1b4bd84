"""Waiting: for another migration, for a locked table; bounded, and without blocking traffic."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from appliance.errors import ExitCode, SchemaError
from appliance.migrations import runner
from tests.harness.waiting import wait_until
from tests.migrations.database import Database

MIGRATING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
WAITING_FOR_TABLE = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'notes'::regclass AND NOT granted"
)


@contextmanager
def table_in_use(database: Database) -> Iterator[None]:
    """Traffic that keeps a transaction open on the table `notes`."""
    with database.connect() as user:
        user.execute("BEGIN")
        user.execute("SELECT * FROM notes")
        yield


def prepare(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.migrate()
    database.write("0002_change.sql", "ALTER TABLE notes ADD COLUMN a int;")


def test_a_migration_that_another_one_blocks_waits_so_long_and_then_says_so(
    database: Database,
) -> None:
    with database.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (runner.ADVISORY_LOCK,))
        started = time.monotonic()
        with pytest.raises(SchemaError, match="did not end within 1 s") as caught:
            database.migrate(timeout_s=1.0)
    assert 1.0 <= time.monotonic() - started < 3.0
    assert "MIGRATION_TIMEOUT" in caught.value.hint
    assert caught.value.exit_code == ExitCode.SCHEMA


def test_it_goes_on_as_soon_as_the_other_one_ends(database: Database) -> None:
    other = database.connect()
    other.execute("SELECT pg_advisory_lock(%s)", (runner.ADVISORY_LOCK,))
    worker = threading.Thread(target=database.migrate)
    worker.start()
    other.close()
    worker.join(10)
    assert database.ledger("engine")


def test_a_table_in_use_is_waited_for_so_long_and_then_it_is_said(database: Database) -> None:
    prepare(database)
    started = time.monotonic()
    with table_in_use(database), pytest.raises(SchemaError) as caught:
        database.migrate(timeout_s=3.0)
    assert time.monotonic() - started < 5.0
    assert "0002_change.sql failed: other transactions kept a table locked" in caught.value.message
    assert "pg_stat_activity" in caught.value.hint
    assert database.ledger() == ["0001_notes.sql"]
    assert database.migrate() == 1


def test_traffic_passes_a_waiting_migration_after_a_moment(database: Database) -> None:
    prepare(database)
    worker = threading.Thread(target=lambda: database.migrate(timeout_s=30.0))
    slowest = 0.0
    with table_in_use(database):
        worker.start()
        with database.connect() as witness:
            wait_until(lambda: witness.execute(WAITING_FOR_TABLE).fetchone() == (1,), "the wait")
            for _ in range(3):
                started = time.monotonic()
                witness.execute("SELECT * FROM notes")
                slowest = max(slowest, time.monotonic() - started)
    worker.join(30)
    assert slowest < runner.LOCK_WAIT_S + 0.5
    assert database.ledger() == ["0001_notes.sql", "0002_change.sql"]


def test_an_index_made_concurrently_waits_out_an_old_transaction(database: Database) -> None:
    prepare(database)
    database.write(
        "0002_change.sql",
        "-- appliance: no-transaction\nCREATE INDEX CONCURRENTLY notes_id ON notes (id);",
    )
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted"
    writer = database.connect()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO notes VALUES (1)")
    worker = threading.Thread(target=lambda: database.migrate(timeout_s=30.0))
    worker.start()
    with database.connect() as witness:
        wait_until(lambda: witness.execute(waits).fetchone() != (0,), "the index build waits")
        # Longer than a migration in a transaction would wait for a lock.
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > runner.LOCK_WAIT_S + 0.2, "a while")
        witness.execute("INSERT INTO notes VALUES (2)")
    writer.execute("COMMIT")
    writer.close()
    worker.join(30)
    assert database.ledger() == ["0001_notes.sql", "0002_change.sql"]


def test_the_lock_is_free_again_after_a_failure(database: Database) -> None:
    database.write("0001_bad.sql", "SELECT nonsense;")
    with pytest.raises(SchemaError):
        database.migrate()
    with database.connect() as superuser:
        assert superuser.execute(MIGRATING).fetchone() == (0,)


def test_a_killed_session_is_away_and_not_a_bad_migration(database: Database) -> None:
    database.write("0001_slow.sql", "CREATE TABLE slow (id int); SELECT pg_sleep(600);")
    failed: list[Exception] = []

    def migrate() -> None:
        try:
            database.migrate()
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=migrate)
    worker.start()
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE '%%pg_sleep(600)%%' AND state = 'active' AND pid <> pg_backend_pid()"
    ).replace("%%", "%")
    with database.connect() as superuser:
        wait_until(lambda: superuser.execute(kill).fetchone(), "the session is killed")
    worker.join(10)
    [error] = failed
    assert getattr(error, "exit_code", None) == ExitCode.DATABASE
    assert "0001_slow.sql" in str(error)
    assert isinstance(error.__cause__, psycopg.OperationalError)
    database.write("0001_slow.sql", "CREATE TABLE slow (id int);")
    assert database.migrate() == 1
