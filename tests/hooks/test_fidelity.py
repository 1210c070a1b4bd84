"""What a dump brings back beside rows: roles, rights, settings, names, large objects, owners."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.postgres import config
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.harness.appliance import ending
from tests.harness.folders import short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.harness.requirements import needs_root
from tests.hooks.copying import again, copy
from tests.hooks.scene import back_up, restore

# Everything that a name may hold and a shell, SQL or a path could take for something else.
ODD = "Odd \"name\"; 'x' = %2F/../$HOME\\"
SETUP = r"""
    CREATE ROLE reader NOLOGIN CONNECTION LIMIT 3 VALID UNTIL '2030-01-01';
    CREATE ROLE "Odd ""role""; x" LOGIN PASSWORD 'pass''word\' IN ROLE reader;
    CREATE ROLE manager CREATEDB CREATEROLE NOINHERIT BYPASSRLS PASSWORD 'another';
    GRANT reader TO manager WITH ADMIN OPTION, INHERIT FALSE;
    GRANT pg_read_all_data TO reader;
    ALTER ROLE reader SET statement_timeout = '5s';
    ALTER ROLE reader IN DATABASE appliance SET search_path = '$user', 'x y', public;
    ALTER ROLE app SET work_mem = '3MB';
    ALTER DATABASE appliance SET "custom.Setting" = 'it''s, "so"';
    COMMENT ON ROLE reader IS 'reads';
"""
INSIDE = r"""
    CREATE SCHEMA "A b" AUTHORIZATION manager;
    CREATE TABLE "A b"."T ""t" ("c c" text PRIMARY KEY, b bytea, n numeric, t timestamptz, a int[]);
    INSERT INTO "A b"."T ""t" VALUES
        (E'tab\t line\n back\\ \\.', '\x00ff', 'NaN', 'infinity', '{1,NULL}'), ('', NULL, 1e-20,
        '0044-03-15 12:00 BC', '{}');
    CREATE SEQUENCE counted START 41; SELECT nextval('counted');
    CREATE TABLE same AS SELECT g AS id, repeat('x', 3000) AS filler FROM generate_series(1, 500) g;
    CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM same;
    CREATE EXTENSION pg_trgm;
    SELECT lo_from_bytea(424242, decode(repeat('00ff41', 100000), 'hex'));
    GRANT SELECT ON LARGE OBJECT 424242 TO reader;
    GRANT SELECT ON same TO reader WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES FOR ROLE manager GRANT SELECT ON TABLES TO reader;
"""
EVERYWHERE = {
    "roles": "SELECT to_jsonb(a) - 'oid' FROM pg_authid a ORDER BY rolname",
    "memberships": """SELECT roleid::regrole::text, member::regrole::text, admin_option,
        inherit_option, set_option, grantor::regrole FROM pg_auth_members ORDER BY 1, 2""",
    "settings": """SELECT d.datname, CASE WHEN setrole <> 0 THEN setrole::regrole END, entry
        FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase,
            unnest(setconfig) AS entry ORDER BY 1, 2, 3""",
    "databases": """SELECT datname, datdba::regrole, encoding, datcollate, datctype, datconnlimit
        FROM pg_database WHERE NOT datistemplate ORDER BY 1""",
    "their rights": """SELECT datname, x.grantee = 0, r.rolname, x.privilege_type, x.is_grantable
        FROM pg_database, aclexplode(datacl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
        WHERE NOT datistemplate AND (x.grantee = 0 OR r.rolname IS NOT NULL) ORDER BY 1, 3, 4""",
    "comments": "SELECT description FROM pg_shdescription WHERE classoid = 'pg_authid'::regclass",
}
WITHIN = {
    "rows": 'SELECT * FROM "A b"."T ""t" ORDER BY 1',
    "many": "SELECT count(*), md5(string_agg(same::text, '' ORDER BY id)) FROM same",
    "sequence": "SELECT last_value, is_called FROM counted",
    "view": "SELECT * FROM seen",
    "large object": "SELECT md5(lo_get(424242)), length(lo_get(424242))",
    "its rights": "SELECT lomowner::regrole, lomacl::text FROM pg_largeobject_metadata",
    "rights": """SELECT relname, relowner::regrole, relacl::text FROM pg_class
        WHERE relname IN ('same', 'T "t', 'counted', 'seen') ORDER BY 1""",
    "default rights": """SELECT defaclrole::regrole, x.grantee::regrole::text, x.privilege_type
        FROM pg_default_acl, aclexplode(defaclacl) x ORDER BY 2, 3""",
    "extensions": "SELECT extname, extversion FROM pg_extension ORDER BY 1",
    "schemas": "SELECT nspname, nspowner::regrole FROM pg_namespace WHERE nspname = 'A b'",
}


def look(program: PostgresProgram) -> dict[str, Any]:
    """Everything that must come back, by SQL."""
    seen = {}
    with program.connect(database="postgres") as connection:
        for what, query in EVERYWHERE.items():
            seen[what] = connection.execute(query).fetchall()
    with program.connect(database=ODD) as connection:
        connection.execute("SET timezone = 'UTC'; SET datestyle = 'ISO'")
        for what, query in WITHIN.items():
            rows = connection.execute(f"SELECT q::text FROM ({query}) AS q").fetchall()  # noqa: S608 - queries of this file
            seen[what] = rows
    return seen


@pytest.fixture(scope="module")
def original() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A live copy of a storage with all of this, and what was in it."""
    with short_folder() as folder, ending(PostgresProgram(folder / "s")) as program:
        program.start().wait_until_serving().migrate()
        with program.connect(database="postgres") as connection:
            connection.execute(SETUP)
            name = ODD.replace('"', '""')
            connection.execute(f'CREATE DATABASE "{name}" OWNER manager'.encode())
            connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO reader'.encode())
            connection.execute(f"ALTER DATABASE \"{name}\" SET work_mem = '5MB'".encode())
        with program.connect(database=ODD) as connection:
            connection.execute(INSIDE)
        seen = look(program)
        assert all(seen.values()), "a query that sees nothing compares nothing"
        back_up(program.storage)
        yield copy(program.storage.root, folder / "copy"), seen


@pytest.fixture
def copied(original: tuple[Path, dict[str, Any]], storage_folder: Path) -> Storage:
    """This test's own copy."""
    return Storage(again(original[0], storage_folder))


def test_everything_comes_back(copied: Storage, original: tuple[Path, dict[str, Any]]) -> None:
    assert restore(copied) == "dump"
    with ending(PostgresProgram(copied.root)) as program:
        program.start().wait_until_serving()
        seen = look(program)
    for what, rows in original[1].items():
        assert seen[what] == rows, what


def test_one_database_alone_comes_back_with_the_roles_and_without_the_others(
    copied: Storage, original: tuple[Path, dict[str, Any]]
) -> None:
    assert restore(copied, RESTORE_DB=ODD) == "dump"
    with ending(PostgresProgram(copied.root)) as program:
        program.start().wait_until_serving()
        with program.connect(database="postgres") as connection:
            query = "SELECT datname FROM pg_database WHERE NOT datistemplate"
            assert {row[0] for row in connection.execute(query)} == {ODD, "postgres"}
        seen = look(program)
    for what in (*WITHIN, "roles", "memberships"):
        assert seen[what] == original[1][what], what


@needs_root
def test_all_files_of_the_new_cluster_belong_to_the_databases_user_and_to_nobody_else(
    copied: Storage,
) -> None:
    # Another machine may have had other numbers.
    for path in (copied.pgdata, *copied.pgdata.rglob("*")):
        shutil.chown(path, 12345, 12345)
    restore(copied)
    user = system_users.detect().database
    for path in (copied.pgdata, *copied.pgdata.rglob("*")):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (user.uid, user.gid), path
        assert not status.st_mode & 0o077, path
    assert copied.pgdata.stat().st_mode & 0o777 == 0o700
    assert copied.lock.stat().st_uid == user.uid


def test_there_is_no_hardlink_and_no_socket_in_what_was_made(copied: Storage) -> None:
    restore(copied)
    files = [path for path in copied.root.rglob("*") if not path.is_dir()]
    assert len(files) > 1000
    assert [path for path in files if path.lstat().st_nlink != 1] == []
    assert [path for path in files if path.is_socket()] == []
    assert not (copied.pgdata / "postmaster.pid").exists()
    assert (copied.pgdata / "pg_hba.conf").read_text() == config.HBA
