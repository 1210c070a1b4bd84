"""What a new cluster is like, and who may enter it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from appliance.postgres import binaries
from appliance.system import system_users
from tests.harness import processes
from tests.harness.appliance import Appliance, ending
from tests.harness.folders import short_folder
from tests.harness.requirements import needs_root


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One appliance for these tests, which only look."""
    with short_folder() as folder, ending(Appliance(folder / "s")) as appliance:
        yield appliance.start().wait_until_up()


def test_it_has_checksums_and_a_collation_that_no_library_can_change(running: Appliance) -> None:
    query = "SELECT datcollate, datctype, pg_encoding_to_char(encoding) FROM pg_database"
    with running.connect("postgres") as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        assert set(connection.execute(query)) == {("C", "C.UTF-8", "UTF8")}
        assert connection.execute("SELECT 'B' < 'a', upper('ä')").fetchone() == (True, "Ä")


@pytest.mark.parametrize("library", ["postgres_fdw", "dblink", "pgcrypto", "pg_trgm"])
def test_its_extensions_find_their_libraries(running: Appliance, library: str) -> None:
    with running.connect("postgres") as connection:
        connection.execute(f"LOAD '{library}'".encode())


def test_no_process_of_it_listens_on_a_network_port(running: Appliance) -> None:
    listening = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        listening |= {line.split()[9] for line in lines if line.split()[3] in ("0A", "07")}
    mine = processes.postgres_processes(running.storage.pgdata)
    assert len(mine) > 3
    sockets = {
        opened.removeprefix("socket:[").removesuffix("]")
        for process in mine
        for opened in processes.opened(process.pid)
    }
    assert listening, "the API listens, so the table cannot be empty"
    assert not sockets & listening


def test_the_apis_role_is_ordinary(running: Appliance) -> None:
    with running.connect("app") as connection:
        assert connection.execute("SHOW is_superuser").fetchone() == ("off",)
        roles = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls "
        mine = connection.execute(roles + "FROM pg_roles WHERE rolname = 'app'").fetchone()
        assert mine == (False,) * 5
        for statement in (
            "CREATE TABLE mine (id integer)",
            "CREATE SCHEMA mine",
            "ALTER TABLE accounts ADD COLUMN mine integer",
            "DELETE FROM appliance.engine_ledger",
            "COPY accounts TO PROGRAM 'cat'",
            "SET ROLE appliance",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)


@needs_root
def test_the_apis_user_may_be_the_apis_role_and_no_other(running: Appliance) -> None:
    assert as_the_apis_user(running, "app").returncode == 0
    for role in ("appliance", "postgres"):
        refused = as_the_apis_user(running, role)
        assert refused.returncode == 2
        assert "Peer authentication failed" in refused.stderr
        with psycopg.connect(host=str(running.storage.run), user=role, dbname="appliance"):
            """Root may be anybody."""


@needs_root
def test_as_root_postgres_and_the_api_run_as_users_without_powers(running: Appliance) -> None:
    users = system_users.detect()
    programs = running.programs()
    wanted = {"postgres": users.database, "agent": users.database, "api": users.api}
    for name, user in wanted.items():
        family = [programs[name], *processes.descendants(programs[name].pid)]
        for process in family:
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            )
            assert status["Uid"].split() == [str(user.uid)] * 4, name
            assert status["Gid"].split() == [str(user.gid)] * 4, name
            assert status["Groups"].split() == [], name
            # 2 is CAP_DAC_READ_SEARCH, kept only where a folder on the way is closed.
            assert int(status["CapEff"], 16) in (0, 1 << 2), name
            assert int(status["CapPrm"], 16) in (0, 1 << 2), name


def as_the_apis_user(running: Appliance, role: str) -> "subprocess.CompletedProcess[str]":
    """psql as the API's operating system user, with no other power than to find psql."""
    user, psql = system_users.detect().api, binaries.program("psql")
    return subprocess.run(
        [psql, "-h", running.storage.run, "-U", role, "-d", "appliance", "-c", "SELECT 1"],
        preexec_fn=lambda: system_users.drop_privileges(user, psql),
        capture_output=True,
        text=True,
        check=False,
    )
