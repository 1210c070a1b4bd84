"""Databases that nobody would make for a test: what is odd about them is no reason to lose them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyrage
import pytest
from psycopg import sql

from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness.appliance import Appliance

# A table's columns come in another order when a dump of it is loaded, rows in other partitions.
_MOVED = """
    CREATE TABLE base (a integer);
    CREATE TABLE derived (b text) INHERITS (base);
    ALTER TABLE base ADD COLUMN c integer DEFAULT 7;
    INSERT INTO derived (a, b, c) SELECT n, 'b' || n, -n FROM generate_series(1, 60000) n;
    CREATE TABLE late (z text, y integer);
    CREATE TABLE early (y integer, z text);
    INSERT INTO late VALUES ('z', 1);
    ALTER TABLE late INHERIT early;
    CREATE TYPE "odd ""mood" AS ENUM ('sad', 'ok', 'happy', 'great');
    CREATE TABLE moods (m "odd ""mood", n integer) PARTITION BY HASH (m);
    CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 0);
    CREATE TABLE moods_1 (n integer, m "odd ""mood");
    ALTER TABLE moods ATTACH PARTITION moods_1 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
    CREATE TABLE moods_2 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 2);
    INSERT INTO moods
        SELECT m, n FROM unnest(enum_range(NULL::"odd ""mood")) m, generate_series(1, 9) n;
    CREATE TABLE large AS SELECT n, repeat('é', 60) AS t, sha256(n::text::bytea) AS b
        FROM generate_series(1, 40000) n;
"""
_SET = {
    "default_transaction_read_only": "on",
    "statement_timeout": "50",
    "idle_session_timeout": "50",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "quote_all_identifiers": "on",
}
_SETTINGS = """
    SELECT cardinality(setconfig)
    FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
    WHERE datname = 'settled'
"""
_ORDINARY = "UPDATE pg_database SET datistemplate = false, datconnlimit = -1 WHERE datname = %s"
_SUMS = """
    SELECT (SELECT sum(hashtext(row(a, b, c)::text)) FROM derived),
        (SELECT sum(hashtext(moods::text)) FROM moods),
        (SELECT sum(hashtext(large::text)) FROM large)
"""


@contextmanager
def database(appliance: Appliance, name: str) -> Iterator[None]:
    """One database more, for the length of the block."""
    with appliance.connect("postgres", "postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield
    finally:
        with appliance.connect("postgres", "postgres") as connection:
            connection.execute(_ORDINARY, (name,))
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(params=["plain", "encrypted"])
def either(request: pytest.FixtureRequest, cli: BackupCommand) -> BackupCommand:
    """The command, with backups of both kinds."""
    if request.param == "encrypted":
        key = pyrage.x25519.Identity.generate()
        cli.variables |= {"BACKUP_RECIPIENTS": str(key.to_public()), "BACKUP_IDENTITY": str(key)}
    return cli


def test_columns_and_rows_that_come_to_lie_elsewhere_are_found_again(
    shared: Appliance, either: BackupCommand
) -> None:
    with database(shared, "moved"):
        with shared.connect("postgres", "moved") as connection:
            connection.execute(_MOVED)
            before = connection.execute(_SUMS).fetchone()
        either.run("create", "--name", "made")
        said = either.run("verify", "made").stdout
        assert "as they were" in said
        either.run("restore", "made", "--force")
        with shared.connect("postgres", "moved") as connection:
            assert connection.execute(_SUMS).fetchone() == before
        either.run("create", "--name", "before")
        with shared.connect("postgres", "moved") as connection:
            connection.execute("UPDATE derived SET c = c + 1 WHERE a = 60000")
            connection.execute("UPDATE moods SET n = n + 1 WHERE m = 'ok' AND n = 9")
        either.run("create", "--name", "after")
        first, second = (_sums(either, name) for name in ("before", "after"))
        changed = {name for name in first if first[name] != second[name]}
        assert changed == {"public.derived", "public.moods"}


def test_no_setting_of_a_database_is_in_the_way(shared: Appliance, either: BackupCommand) -> None:
    with database(shared, "settled"):
        with shared.connect("postgres", "settled") as connection:
            connection.execute(_MOVED)
        with shared.connect("postgres", "postgres") as connection:
            for name, value in _SET.items():
                connection.execute(f"ALTER DATABASE settled SET {name} = '{value}'")
        either.run("create", "--name", "made")
        either.run("verify", "made")
        either.run("restore", "made", "--force")
        with shared.connect("postgres", "postgres") as connection:
            assert connection.execute(_SETTINGS).fetchone() == (len(_SET),)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_names_are_kept_whatever_the_encoding(
    shared: Appliance, either: BackupCommand, encoding: str
) -> None:
    with shared.connect("postgres", "postgres") as connection:
        connection.execute("CREATE ROLE rené")
        connection.execute(
            f"CREATE DATABASE café TEMPLATE template0 ENCODING {encoding} LOCALE 'C' OWNER rené"
        )
        connection.execute("COMMENT ON DATABASE café IS '5 €'")
        connection.execute("ALTER ROLE postgres SET client_encoding = 'LATIN1'")
    try:
        with shared.connect("postgres", "café") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        either.run("create", "--name", "made")
        [made] = [
            one
            for one in scene.manifest(either.folder / "made")["databases"]
            if one["tables"] and one["name"] != "appliance"
        ]
        assert made["name"] == "café"
        assert (made["properties"]["owner"], made["properties"]["comment"]) == ("rené", "5 €")
        either.run("verify", "made")
    finally:
        with shared.connect("postgres", "postgres") as connection:
            connection.execute("ALTER ROLE postgres RESET client_encoding")
            connection.execute("DROP DATABASE café")
            connection.execute("DROP ROLE rené")


def test_what_a_drop_has_left_is_replaced_by_a_restore(
    shared: Appliance, cli: BackupCommand
) -> None:
    with database(shared, "shop"):
        with shared.connect("postgres", "shop") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        cli.run("create", "--name", "made")
        with shared.connect("postgres", "postgres") as connection:
            connection.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'shop'")
        cli.run("restore", "made", "--force")
        with shared.connect("postgres", "shop") as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_template_is_kept_and_comes_back_as_one(shared: Appliance, cli: BackupCommand) -> None:
    template = "SELECT datistemplate FROM pg_database WHERE datname = 'tenant_template'"
    with database(shared, "tenant_template"):
        with shared.connect("postgres", "tenant_template") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        with shared.connect("postgres", "postgres") as connection:
            connection.execute("ALTER DATABASE tenant_template IS_TEMPLATE true")
        cli.run("create", "--name", "made")
        cli.run("verify", "made")
        with shared.connect("postgres", "tenant_template") as connection:
            connection.execute("DROP TABLE kept")
        cli.run("restore", "made", "--force")
        with shared.connect("postgres", "tenant_template") as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
            assert connection.execute(template).fetchone() == (True,)
        assert _names(shared) == {"appliance", "postgres", "tenant_template"}


def test_one_that_is_closed_is_said_and_not_left_out(shared: Appliance, cli: BackupCommand) -> None:
    with database(shared, "closed"):
        with shared.connect("postgres", "postgres") as connection:
            connection.execute("ALTER DATABASE closed ALLOW_CONNECTIONS false")
        said = cli.refused("create", "--name", "made")
        assert "Nobody may connect to closed, so it cannot be backed up." in said
        assert "ALTER DATABASE closed ALLOW_CONNECTIONS true" in said
        assert cli.names() == []


def test_what_a_broken_off_drop_has_left_is_in_nobodys_way(
    shared: Appliance, cli: BackupCommand
) -> None:
    with database(shared, "half_gone"):
        with shared.connect("postgres", "postgres") as connection:
            # As DROP DATABASE does first, since 16.
            connection.execute(
                "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_gone'"
            )
        made = cli.json("create", "--name", "made")
        assert {one["name"] for one in made["databases"]} == {"appliance", "postgres"}


def test_databases_can_be_made_while_a_backup_is_made(
    shared: Appliance, cli: BackupCommand
) -> None:
    with scene.held(shared) as wait:
        process = cli.start("create", "--name", "made")
        wait()
        with database(shared, "tenant"):
            assert "tenant" in _names(shared)
    scene.ended(process)


def _names(appliance: Appliance) -> set[str]:
    with appliance.connect("postgres", "postgres") as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE datname !~ '^template'")
        return {row[0] for row in found}


def _sums(cli: BackupCommand, name: str) -> dict[str, Any]:
    [moved] = [
        one for one in scene.manifest(cli.folder / name)["databases"] if one["name"] == "moved"
    ]
    return {table["name"]: (table["rows"], table["sha256"]) for table in moved["tables"]}
