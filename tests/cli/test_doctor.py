"""`appliance doctor` finds what is wrong, each thing really made wrong."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance import cli
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.cli.conftest import Run
from tests.harness.appliance import Appliance
from tests.harness.command import COMMAND
from tests.harness.postgres_program import PostgresProgram
from tests.harness.requirements import needs_namespaces, needs_root

Findings = dict[str, dict[str, Any]]


def examine(run: Run, **variables: str) -> Findings:
    """What doctor finds, by the name of the check; the exit code must fit."""
    return read(run("doctor", "--json", **variables))


def read(said: "subprocess.CompletedProcess[str]") -> Findings:
    assert "Traceback" not in said.stderr
    findings = json.loads(said.stdout)
    assert said.returncode == any(finding["state"] == "problem" for finding in findings)
    for finding in findings:
        assert finding["state"] == "ok" or finding["hint"], finding
    return {finding["check"]: finding for finding in findings}


def assert_problem(findings: Findings, check: str, words: str) -> None:
    assert findings[check]["state"] == "problem", findings[check]
    assert words in findings[check]["text"]


@pytest.fixture
def stopped(storage_folder: Path, make_program: Callable[..., PostgresProgram]) -> Storage:
    """A storage with a whole cluster that is not running."""
    program = make_program().start().wait_until_serving().migrate()
    program.kill_everything()
    return Storage(storage_folder)


def test_a_healthy_appliance_has_no_problem(running: Appliance) -> None:
    findings = read(running.run("doctor", "--json"))
    assert {finding["state"] for finding in findings.values()} <= {"ok", "warning"}
    assert findings["port"]["text"] == f"an appliance answers on {running.port}"
    assert "owns the database since" in findings["owner"]["text"]
    assert "in sync" in findings["schema"]["text"]


def test_for_people_each_finding_is_a_line_with_what_to_do_below(run: Run) -> None:
    lines = run("doctor").stdout.splitlines()
    assert lines[-1] == "No problem found."
    assert sum(line.startswith("warning  ") for line in lines) == sum("-> " in x for x in lines)


def test_before_the_first_start_there_are_only_warnings(run: Run, storage_folder: Path) -> None:
    findings = examine(run)
    for check in ("storage", "disk", "locks", "cluster", "schema"):
        assert findings[check]["state"] == "warning"
        assert "appliance up" in findings[check]["hint"]
    assert not storage_folder.exists()


def test_a_weak_secret_is_a_warning(run: Run) -> None:
    findings = examine(run, SECRET_KEY_BASE="weak")
    assert findings["settings"]["text"].startswith("SECRET_KEY_BASE is weak")


def test_a_file_in_the_place_of_the_storage_is_found(run: Run, storage_folder: Path) -> None:
    storage_folder.write_text("")
    assert_problem(examine(run), "storage", "is not a folder")


def test_a_port_that_another_program_took_is_found(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        findings = examine(run, PORT=str(number))
    assert_problem(findings, "port", f"{number} is taken by another program")


def test_a_path_too_long_for_a_socket_is_found(run: Run, storage_folder: Path) -> None:
    findings = examine(run, STORAGE_DIR=f"{storage_folder}{'x' * 90}")
    assert_problem(findings, "socket path", "too many for a socket")


def test_a_clock_that_went_back_is_found(run: Run, stopped: Storage) -> None:
    stopped.owner.touch()
    later = time.time() + 3600
    os.utime(stopped.owner, (later, later))
    assert_problem(examine(run), "clock", "the clock went back")


def test_locks_that_are_not_tested_are_a_warning(run: Run, stopped: Storage) -> None:
    assert examine(run)["locks"]["state"] == "ok"
    findings = examine(run, ALLOW_BROKEN_FLOCK="true")
    assert findings["locks"]["state"] == "warning"


def test_a_cluster_of_another_version_is_found(run: Run, stopped: Storage) -> None:
    (stopped.pgdata / "PG_VERSION").write_text("15\n")
    assert_problem(examine(run), "cluster", "was made by Postgres 15")


def test_a_cluster_with_the_wrong_permissions_is_found(run: Run, stopped: Storage) -> None:
    stopped.pgdata.chmod(0o777)
    findings = examine(run)
    assert_problem(findings, "cluster", "has the permissions 0777")
    assert f"chmod 0700 {stopped.pgdata}" in findings["cluster"]["hint"]


@needs_root
def test_a_cluster_that_belongs_to_somebody_else_is_found(run: Run, stopped: Storage) -> None:
    os.chown(stopped.pgdata, 0, 0)
    assert_problem(examine(run), "cluster", "belongs to user 0")


def test_a_damaged_control_file_is_found(run: Run, stopped: Storage) -> None:
    control = stopped.pgdata / "global" / "pg_control"
    control.write_bytes(b"\xff" * control.stat().st_size)
    assert_problem(examine(run), "cluster", "is damaged")


def test_a_database_that_is_down_is_a_warning(run: Run, stopped: Storage) -> None:
    findings = examine(run)
    assert findings["schema"]["state"] == "warning"
    assert "it is not running" in findings["owner"]["text"]


def test_a_schema_that_is_behind_is_found(
    run: Run, make_program: Callable[..., PostgresProgram]
) -> None:
    program = make_program().start().wait_until_serving().migrate()
    last = load_tracks((), None)[0].migrations[-1]
    with program.connect(config.OWNER_ROLE) as owner:
        owner.execute("DELETE FROM appliance.engine_ledger WHERE number = %s", (last.number,))
    findings = examine(run)
    assert_problem(findings, "schema", f"Pending: {last.name}")
    assert "appliance migrate" in findings["schema"]["hint"]


def test_migrations_of_the_app_that_are_pending_are_a_warning(
    running: Appliance, tmp_path: Path
) -> None:
    (tmp_path / "0001_notes.sql").write_text("SELECT 1;")
    behind = Appliance(running.storage.root, CLIENT_MIGRATIONS_DIR=str(tmp_path))
    findings = read(behind.run("doctor", "--json", check=False))
    assert findings["schema"]["state"] == "warning"
    assert "0001_notes.sql" in findings["schema"]["text"]


def test_an_owner_that_does_not_answer_is_found(
    run: Run, make_program: Callable[..., PostgresProgram]
) -> None:
    program = make_program().start().wait_until_serving()
    program.storage.socket.unlink()
    assert_problem(examine(run), "schema", "the database does not answer")


AS_NOBODY = """
import sys
from pathlib import Path
from appliance import cli
from appliance.system import system_users
from appliance.cli.main import main
needed = Path(sys.prefix), Path(sys.base_prefix), Path(sys.argv[1])
system_users.drop_privileges(system_users.detect().api, *needed)
sys.exit(main(["doctor", "--json"]))
"""


@needs_root
def test_a_user_that_may_not_look_is_told_as_whom_to_run_it(storage_folder: Path) -> None:
    Storage(storage_folder).prepare(system_users.detect())
    said = subprocess.run(
        [sys.executable, "-P", "-c", AS_NOBODY, Path(cli.__file__)],
        env={"STORAGE_DIR": str(storage_folder), "PORT": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    findings = read(said)
    assert_problem(findings, "storage", "cannot be written by this user")
    assert_problem(findings, "locks", "Permission denied")
    assert_problem(findings, "port", "root only")
    assert "Run this as root" in findings["locks"]["hint"]


@needs_namespaces
@pytest.mark.parametrize(
    ("mount", "check", "state", "words"),
    [
        ("-o size=8m none STORAGE", "disk", "problem", "8 MiB of 8 MiB are free"),
        ("-o size=100m none STORAGE", "disk", "warning", "100 MiB of 100 MiB are free"),
        ("-o ro none STORAGE", "storage", "problem", "cannot be written"),
        ("-o size=16m none /dev/shm", "shared memory", "warning", "/dev/shm has 16 MiB"),
    ],
)
def test_what_is_mounted_too_small_is_found(
    storage_folder: Path, mount: str, check: str, state: str, words: str
) -> None:
    storage_folder.mkdir()
    where = mount.replace("STORAGE", str(storage_folder))
    script = f'mount -t tmpfs {where} && exec "$0" doctor --json'
    said = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, COMMAND],
        env={"PATH": os.environ["PATH"], "STORAGE_DIR": str(storage_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = read(said)[check]
    assert (found["state"], words in found["text"]) == (state, True), found
