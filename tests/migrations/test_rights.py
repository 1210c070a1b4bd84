"""Whose the app's tables are, and what the API may do with them and with the books."""

import psycopg
import pytest

from tests.migrations.database import Database


@pytest.fixture
def migrated(database: Database) -> Database:
    database.write("0001_notes.sql", "CREATE TABLE notes (id serial PRIMARY KEY, note text);")
    database.migrate()
    return database


def test_a_table_without_a_schema_lands_in_public_and_belongs_to_the_owner(
    migrated: Database,
) -> None:
    with migrated.connect() as superuser:
        row = superuser.execute(
            "SELECT schemaname, tableowner FROM pg_tables WHERE tablename = 'notes'"
        )
        assert row.fetchone() == ("public", "appliance")


def test_the_api_reads_and_writes_the_tables_of_the_app(migrated: Database) -> None:
    with migrated.connect("app") as api:
        api.execute("INSERT INTO notes (note) VALUES ('a'), ('b')")
        api.execute("UPDATE notes SET note = 'c' WHERE note = 'a'")
        api.execute("DELETE FROM notes WHERE note = 'b'")
        assert api.execute("SELECT note FROM notes").fetchall() == [("c",)]


@pytest.mark.parametrize("statement", ["DROP TABLE notes", "TRUNCATE notes", "CREATE TABLE x ()"])
def test_the_api_changes_no_schema(migrated: Database, statement: str) -> None:
    with migrated.connect("app") as api, pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute(statement.encode())


def test_the_books_stay_append_only(migrated: Database) -> None:
    with migrated.connect() as superuser:
        rows = superuser.execute(
            "SELECT DISTINCT table_name, privilege_type FROM information_schema.table_privileges "
            "WHERE grantee = 'app' AND table_name IN ('accounts', 'transactions', 'postings')"
        )
        granted = set(rows.fetchall())
    assert granted == {
        (table, right)
        for table in ("accounts", "transactions", "postings")
        for right in ("SELECT", "INSERT")
    }


def test_no_role_of_ours_is_a_superuser(migrated: Database) -> None:
    with migrated.connect() as superuser:
        rows = superuser.execute(
            "SELECT rolname FROM pg_roles WHERE rolname IN ('app', 'appliance') "
            "AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
        )
        assert rows.fetchall() == []
