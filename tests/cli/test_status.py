"""`appliance status`, for people and for programs."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance import __version__
from appliance.backups import backup_status
from appliance.backups.backup_status import LastBackup, Verification
from appliance.errors import ExitCode
from appliance.migrations.tracks import load_tracks
from appliance.storage.paths import Storage
from tests.cli.conftest import Run
from tests.harness.appliance import Appliance

REQUIRED = load_tracks((), None)[0].required


def test_status_says_in_six_lines_how_it_is(running: Appliance) -> None:
    said = running.run("status").stdout
    names = [line.split()[0] for line in said.splitlines()]
    assert names == ["appliance", "storage", "owner", "database", "migrations", "backup"]
    assert f"appliance   {__version__}\n" in said
    assert "Postgres 16." in said
    assert f"engine {REQUIRED:04d}, books 0001, client 0000, nothing pending" in said
    assert "backup      none yet; none was verified\n" in said


def test_status_for_programs_has_times_in_iso_8601(running: Appliance) -> None:
    report = json.loads(running.run("status", "--json").stdout)
    assert report["database"]["ok"] is True
    assert report["owner"]["running"] is True
    migrations = report["database"]["migrations"]
    assert migrations["engine"]["applied"] == REQUIRED
    assert (migrations["app"]["name"], migrations["app"]["applied"]) == ("books", 1)
    for moment in (report["database"]["started_at"], report["owner"]["since"]):
        assert "T" in moment
        assert datetime.fromisoformat(moment).utcoffset() is not None


def test_status_names_the_standby_and_how_the_database_came_here(
    pair: tuple[Appliance, Appliance],
) -> None:
    owner, standby = pair
    who = {running: instance_of(running) for running in pair}
    for asked in pair:
        report = json.loads(asked.run("status", "--json").stdout)
        assert report["owner"]["instance"] == who[owner]
        assert [one["instance"] for one in report["standbys"]] == [who[standby]]
        assert report["database"]["handoffs"][0]["kind"] == "handoff"
        assert report["database"]["handoffs"][0]["phases_ms"]["away"] > 0
    said = owner.run("status").stdout
    assert re.search(rf"\nstandby     \S+ \({who[standby]}\), version \S+, waits since 2", said)
    assert re.search(r"\nmoved       2\S+ handoff from \S+ to \S+: away for \d+ ms \(claim ", said)


def instance_of(running: Appliance) -> str:
    """The name that a running container gave itself."""
    api = running.programs()["api"].pid
    variables = Path(f"/proc/{api}/environ").read_bytes().decode().split("\0")
    return dict(variable.split("=", 1) for variable in variables if variable)["APPLIANCE_INSTANCE"]


def test_status_without_a_storage_is_exit_code_6(run: Run, storage_folder: Path) -> None:
    said = run("status")
    assert said.returncode == ExitCode.DATABASE
    assert f"{storage_folder}, which does not exist" in said.stdout
    assert "owner       none yet" in said.stdout
    assert "does not answer: No such file or directory" in said.stdout
    assert json.loads(run("status", "--json").stdout)["database"]["ok"] is False


def test_status_of_a_dead_appliance_tells_who_was_last(
    make_appliance: Callable[..., Appliance],
) -> None:
    appliance = make_appliance().start().wait_until_up()
    appliance.kill_everything()
    said = appliance.run("status", check=False)
    assert said.returncode == ExitCode.DATABASE
    assert "owner       none now; last was " in said.stdout
    assert "does not answer: Connection refused" in said.stdout


def test_status_shows_a_client_track_that_is_behind(running: Appliance, tmp_path: Path) -> None:
    (tmp_path / "0001_notes.sql").write_text("SELECT 1;")
    behind = Appliance(running.storage.root, CLIENT_MIGRATIONS_DIR=str(tmp_path))
    assert "pending: 0001_notes.sql" in behind.run("status").stdout


def test_status_tells_of_the_last_backup_its_proof_and_what_failed(
    run: Run, storage_folder: Path
) -> None:
    storage = Storage(storage_folder)
    storage.run.mkdir(parents=True)
    backup_status.record_backup(
        storage, LastBackup("monday", ago(hours=50), 1_234_567, ("local", "nas"))
    )
    backup_status.record_verification(
        storage, Verification("sunday", ago(hours=75), True, 10, 20, 1.5, "")
    )
    line = "monday, 2 days ago, 1.2 MB, in local, nas; verified by a restore: sunday, 3 days ago"
    assert run("status").stdout.splitlines()[-1] == f"backup      {line}"

    backup_status.record_verification(
        storage, Verification("monday", ago(minutes=3), False, 0, 0, 1.5, "It is torn.")
    )
    backup_status.record_failure(storage, "The disk is full.")
    said = run("status").stdout.splitlines()
    assert said[-3].endswith(line)
    assert re.fullmatch(
        r"backup      the last attempt failed \d+ seconds? ago: The disk.*", said[-2]
    )
    assert said[-1] == "backup      monday does not restore, seen 3 minutes ago: It is torn."
    backup = json.loads(run("status", "--json").stdout)["backup"]
    assert backup["last_backup"]["destinations"] == ["local", "nas"]
    assert backup["last_verified"]["name"] == "sunday"
    assert backup["last_proof"]["ok"] is False
    assert 0 <= backup["last_failure"]["age_s"] < 60

    backup_status.record_backup(storage, LastBackup("tuesday", ago(hours=99), 1, ("local",)))
    assert "attempt" not in run("status").stdout
    backup_status.record_removal(storage, "monday", None)
    backup_status.record_removal(storage, "sunday", None)
    said = run("status").stdout.splitlines()
    assert said[-1].startswith("backup      tuesday, ")
    assert said[-1].endswith("; verified by a restore: sunday (removed since), 3 days ago")


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()
