"""The app's track: between engine and client, and known again where it once was the engine's."""

import hashlib

import pytest

from appliance.apps import registry
from appliance.apps.books.books import BOOKS
from appliance.errors import SchemaError
from appliance.migrations import schema_check
from appliance.migrations.tracks import load_tracks
from tests.migrations.database import Database

# What commit 7b1dafa has in its ledger.
OLD_NAME = "0003_books.sql"
OLD_CHECKSUM = "61fc323ef07aedabf7cc4b1b56d2aa92ac80a637e7e73b70a50da859432e4f3f"
NOTES = "CREATE TABLE notes (id int);"
THIRD = "SELECT name, checksum FROM appliance.engine_ledger WHERE number = 3"
LEDGER = "SELECT number, name, checksum, duration_ms FROM appliance.books_ledger"
TABLES = {"accounts", "postings", "transactions"}


@pytest.fixture
def old(database: Database) -> Database:
    """A database as 7b1dafa leaves it: the books were the engine's, and have no ledger."""
    database.migrate()
    with database.connect() as superuser:
        superuser.execute("DROP TABLE appliance.books_ledger")
        superuser.execute(
            "UPDATE appliance.engine_ledger SET name = %s WHERE number = 3", (OLD_NAME,)
        )
    database.reported.clear()
    return database


def tables(database: Database) -> set[str]:
    with database.connect() as superuser:
        rows = superuser.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in rows}


def in_sync(database: Database) -> bool:
    tracks = load_tracks(database.app.tracks(), None)
    with database.connect("app") as api:
        return schema_check.read_schema_state(api, tracks).in_sync


def test_it_is_applied_after_the_engines_and_before_the_clients(database: Database) -> None:
    database.write("0001_notes.sql", NOTES)
    database.migrate()
    tracks = [line.split()[1] for line in database.reported]
    assert tracks == ["engine"] * tracks.count("engine") + ["books", "client"]
    assert database.ledger("books") == ["0001_books.sql"]


def test_the_engines_file_does_nothing_and_is_remembered_as_what_it_was(
    database: Database,
) -> None:
    database.app = registry.load("none")
    database.migrate()
    assert tables(database) == set()
    with database.connect() as superuser:
        name, checksum = superuser.execute(THIRD).fetchone()  # type: ignore[misc]  # there is a row
    assert name != OLD_NAME
    assert checksum == OLD_CHECKSUM


def test_where_the_engine_has_applied_it_its_ledger_begins_with_it_without_a_word(
    old: Database,
) -> None:
    assert in_sync(old)
    assert old.migrate() == 0
    assert old.reported == []
    (first,) = BOOKS.tracks()[0].migrations
    with old.connect() as superuser:
        assert superuser.execute(LEDGER).fetchall() == [(1, first.name, first.checksum, 0)]
    assert old.migrate() == 0


def test_without_the_app_that_is_left_until_it_is_back(old: Database) -> None:
    old.app = registry.load("none")
    assert old.migrate() == 0
    assert tables(old) == TABLES
    old.app = BOOKS
    assert old.migrate() == 0
    assert old.ledger("books") == ["0001_books.sql"]


def test_where_only_the_empty_file_was_applied_the_tables_are_made(database: Database) -> None:
    database.app = registry.load("none")
    database.migrate()
    database.app = BOOKS
    assert not in_sync(database)
    assert database.migrate() == 1
    assert tables(database) == TABLES
    assert in_sync(database)


def test_a_schema_that_lacks_the_apps_is_behind(database: Database) -> None:
    database.app = registry.load("none")
    database.migrate()
    with database.connect("app") as api:
        state = schema_check.read_schema_state(api, load_tracks(BOOKS.tracks(), None))
    assert "it needs books migration 0001, the database has 0000" in state.message
    with pytest.raises(SchemaError, match=r"Pending: 0001_books\.sql"):
        schema_check.check(state)


def test_a_file_of_ones_own_can_name_no_other_checksum(database: Database) -> None:
    content = f"-- appliance: checksum {OLD_CHECKSUM}\n"
    database.write("0001_mine.sql", content)
    database.migrate()
    with database.connect() as superuser:
        row = superuser.execute("SELECT checksum FROM appliance.client_ledger").fetchone()
    assert row == (hashlib.sha256(content.encode()).hexdigest(),)


def test_the_apis_role_may_do_with_the_tables_what_it_could_before(database: Database) -> None:
    database.migrate()
    with database.connect() as superuser:
        rows = superuser.execute(
            "SELECT c.relname, has_any FROM pg_class c, LATERAL (SELECT CASE c.relkind "
            "WHEN 'S' THEN has_sequence_privilege('app', c.oid, 'USAGE, SELECT, UPDATE') "
            "ELSE has_table_privilege('app', c.oid, 'UPDATE, DELETE, TRUNCATE, REFERENCES, "
            "TRIGGER') END AS has_any) AS may "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S')"
        ).fetchall()
    assert {name for name, _ in rows} >= TABLES
    assert [name for name, may in rows if may] == []
