"""Whatever a database holds comes back: objects, rights, settings, and each row as it was."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from psycopg import sql

from appliance.backups.server import pg_tools, server_checksums
from appliance.postgres import binaries
from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness.appliance import Appliance

ODD = "Odd = 'name' \"q\" a/b..%é\\"
HARMLESS = "harmless"
CLUSTER = """
CREATE ROLE auditor NOLOGIN;
CREATE ROLE "Odd ""role"" ;" LOGIN CONNECTION LIMIT 3 VALID UNTIL '2031-01-01';
COMMENT ON ROLE auditor IS 'CREATE ROLE "x";';
ALTER ROLE auditor SET statement_timeout = '5s';
GRANT auditor TO "Odd ""role"" ;" WITH ADMIN OPTION;
"""
PROPERTIES = """
ALTER DATABASE {0} OWNER TO "Odd ""role"" ;";
ALTER DATABASE {0} CONNECTION LIMIT 42;
ALTER DATABASE {0} SET search_path TO "$user", public, "Second schema";
ALTER DATABASE {0} SET "my.own" TO 'it''s, "so"';
ALTER DATABASE {0} SET DateStyle TO 'SQL, DMY';
ALTER DATABASE {0} SET IntervalStyle TO 'sql_standard';
ALTER DATABASE {0} SET TimeZone TO 'Asia/Tokyo';
ALTER DATABASE {0} SET extra_float_digits TO 0;
ALTER DATABASE {0} SET quote_all_identifiers TO on;
ALTER ROLE auditor IN DATABASE {0} SET work_mem TO '5MB';
REVOKE ALL ON DATABASE {0} FROM PUBLIC;
GRANT CONNECT ON DATABASE {0} TO auditor WITH GRANT OPTION;
COMMENT ON DATABASE {0} IS 'a comment';
"""
OBJECTS = """
CREATE EXTENSION pg_trgm;
CREATE SCHEMA "Second schema" AUTHORIZATION auditor;
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'ha"ppy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE types (
    id integer GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 7) PRIMARY KEY,
    n numeric, f float8, r real, b bytea, j json, jb jsonb, a text[][], t timestamptz, d date,
    i interval, u uuid, c char(5), v varchar(9), m mood, p positive, x xml, pr pair, ip inet,
    bits bit varying, rng int4range, tsv tsvector, big bigint DEFAULT 9223372036854775807,
    twice numeric GENERATED ALWAYS AS (n * 2) STORED, bool boolean, circ circle
);
COMMENT ON COLUMN types.n IS E'a\\nnumber';
INSERT INTO types (n, f, r, b, j, jb, a, t, d, i, u, c, v, m, p, pr, ip, bits, rng, tsv, bool, circ)
VALUES ('1e-30', 0.1, 'NaN', '\\x00ff0a5c2e', '{"a":  1, "a": 2}', '{"b": [null]}',
    '{{a,"b,\\"c"},{NULL,""}}', '2026-03-29 01:59:59.999999+01', 'infinity', '1 mon -3 days 04:05',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ab', 'tab\t', 'it''s ok', 3, '(1,"x,y")', '::1/64',
    '10101', '[1,5)', 'fat & cat', true, '<(0,0),1>');
INSERT INTO types (n) VALUES ('NaN'), ('-Infinity'), (123456789012345678901234567890.10), (NULL);
INSERT INTO types (v) VALUES (E'\\\\.'), (E'a\\nb\\r'), (E'\\\\N'), (''), (E'\\b\\f\\v');
CREATE INDEX types_trgm ON types USING gin (v gin_trgm_ops);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE empty (x text);
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS one;
CREATE TABLE parent (k integer);
CREATE TABLE child (extra text) INHERITS (parent);
INSERT INTO child VALUES (1, 'one');
CREATE TABLE parted (k integer, v text) PARTITION BY RANGE (k);
CREATE TABLE low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE "Second schema".high PARTITION OF parted FOR VALUES FROM (10) TO (MAXVALUE);
INSERT INTO parted SELECT n, repeat('p', n) FROM generate_series(1, 20) n;
CREATE MATERIALIZED VIEW viewed AS SELECT count(*) FROM parted;
CREATE VIEW seen WITH (security_barrier) AS SELECT * FROM types;
CREATE SEQUENCE "Second schema"."a
sequence" AS smallint CYCLE;
SELECT nextval('"Second schema"."a
sequence"') FROM generate_series(1, 3);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.x := 'stamped'; RETURN NEW;
END$$;
CREATE TRIGGER stamps BEFORE INSERT ON empty FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE types ENABLE ROW LEVEL SECURITY;
ALTER TABLE types FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON types TO auditor USING (p > 2);
GRANT SELECT (id, v) ON types TO auditor WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO auditor;
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE STATISTICS correlated ON n, f FROM types;
SELECT lo_from_bytea(4711, decode(repeat('00ff5c0a', 25000), 'hex')), lo_from_bytea(4712, '');
COMMENT ON LARGE OBJECT 4711 IS 'large';
GRANT SELECT ON LARGE OBJECT 4711 TO auditor;
"""
NAMES = [
    "a b",
    'q"q',
    "it's",
    "(x",
    "x) FROM stdin;",
    "new\nline",
    "back\\slash",
    "é",
    "SELECT",
    "a.b",
]


@pytest.fixture(scope="module")
def furnished(shared: Appliance) -> Appliance:
    """With everything in a database whose name needs care."""
    with shared.connect("postgres", "postgres") as connection:
        connection.execute(CLUSTER)
        for name in (ODD, HARMLESS):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connection.execute(PROPERTIES.format('"' + ODD.replace('"', '""') + '"').encode())
    with shared.connect("postgres", ODD) as connection:
        connection.execute(OBJECTS.encode())
        for number, name in enumerate(NAMES):
            table, column = sql.Identifier(name), sql.Identifier(name[::-1])
            connection.execute(sql.SQL("CREATE TABLE {} ({} text)").format(table, column))
            rows = sql.SQL("INSERT INTO {} SELECT 'x' FROM generate_series(1, {})")
            connection.execute(rows.format(table, number))
    return shared


def test_a_database_comes_back_as_it_was_with_all_kinds_of_objects_rights_and_settings(
    furnished: Appliance, cli: BackupCommand
) -> None:
    before = _everything(furnished)
    cli.run("create", "--name", "all")
    with furnished.connect("postgres", "postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(ODD)))
        connection.execute('DROP ROLE "Odd ""role"" ;", auditor')
    cli.run("restore", "all", "--force")
    after = _everything(furnished)
    assert after["data"] == before["data"]
    assert after["roles"] == before["roles"]
    assert after["schema"] == before["schema"]
    cli.run("verify", "all")


@pytest.mark.parametrize("form", ["directory", "custom"])
def test_the_reading_of_an_archive_and_of_the_database_made_from_it_is_equal(
    furnished: Appliance, place: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(server_checksums, "_LARGE_BYTES", 0)
    monkeypatch.setenv("PGTZ", "UTC")
    socket, archive, copy = furnished.storage.run, place / "archive", f"copy_{form}"
    options = ["--jobs=2"] if form == "directory" else []
    _run(pg_tools.dump_command(socket, ODD, f"--format={form}", f"--file={archive}", *options))
    with furnished.connect("postgres", "postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(copy)))
    _run(pg_tools.restore_command(socket, copy, *options, archive))
    read = pg_tools.read_directory(archive)
    for database in (copy, ODD):
        assert pg_tools.read_database(socket, database) == read
        assert server_checksums.read_database(socket, database, 2) == read
    rows = {table.name: table.rows for table in read.tables}
    named = ['public."' + name.replace('"', '""') + '"' for name in NAMES]
    assert [rows[name] for name in named] == list(range(len(named)))
    wanted = {"types": 10, "nothing": 2, "empty": 0, "child": 1, "low": 9}
    assert wanted == {name: rows[f"public.{name}"] for name in wanted}
    with furnished.connect("postgres", copy) as connection:
        connection.execute("SELECT lo_put(4711, 99999, 'x')")
        connection.execute("INSERT INTO child VALUES (2, 'two')")
    changed = server_checksums.read_database(socket, copy, 2)
    assert changed.others != read.others
    different = {table.name for table in set(changed.tables) ^ set(read.tables)}
    assert different == {"public.child"}


@pytest.mark.parametrize("kind", ["encrypted", "one processor"])
def test_rows_of_any_size_are_found_again_wherever_postgres_puts_them(
    shared: Appliance, cli: BackupCommand, kind: str
) -> None:
    key = pyrage.x25519.Identity.generate()
    encrypted = {"BACKUP_RECIPIENTS": str(key.to_public()), "BACKUP_IDENTITY": str(key)}
    cli.variables |= {"NUM_CPUS": "1"} if kind == "one processor" else encrypted
    choose = random.Random(1)  # noqa: S311 - the same every time
    with shared.connect() as connection:
        connection.execute("CREATE TABLE wide (n integer, t text STORAGE PLAIN)")
        with connection.cursor().copy("COPY wide FROM STDIN") as copy:
            for number in range(5000):
                copy.write_row((number, "x" * choose.choice([1, 10, 100, 700, 1500, 3000])))
    try:
        cli.run("create", "--name", "wide")
        cli.run("verify", "wide")
    finally:
        with shared.connect() as connection:
            connection.execute("DROP TABLE wide")


def _everything(appliance: Appliance) -> dict[str, Any]:
    """All of it, as programs of Postgres see it that have no part in the restore."""
    socket = appliance.storage.run
    held = {name: scene.held_in(appliance, name) for name in (ODD, HARMLESS, "appliance")}
    schema: Callable[[str], str] = lambda name: _run(  # noqa: E731 - short, and used once
        [*pg_tools.dump_command(socket, name, "--schema-only", "--create", "--compress=none")]
    )
    roles = _run(pg_tools.dump_roles_command(socket))
    return {
        "data": held,
        "schema": [line for name in (ODD, "appliance") for line in _steady(schema(name))],
        "roles": _steady(roles),
    }


def _steady(script: str) -> list[str]:
    # pg_dump draws a new word each time; and settings come in the order in which they were made.
    lines = (line for line in script.splitlines() if line.strip("-"))
    return sorted(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))


def _run(command: pg_tools.Command) -> str:
    environment = {"LD_LIBRARY_PATH": str(binaries.libraries()), "PGTZ": "UTC"}
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
