"""Verifying a backup restores it beside the live database; what is not as it was is found."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from appliance.backups import audit, backup_status
from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.folders import short_folder
from tests.harness.freezing import frozen
from tests.harness.processes import Process
from tests.harness.waiting import wait_until

SOCKETS = "unix_socket_directories="
LISTENING = "0A"
_IDENTITY = "SELECT system_identifier FROM pg_control_system()"
# The books are append-only, but not for whoever replicates them.
_RENAME = """
    SET session_replication_role = replica;
    UPDATE transactions SET description = '{1}' WHERE description = '{0}';
"""


def test_the_throwaway_cluster_is_another_one_and_nobody_reaches_it_from_outside(
    cli: BackupCommand, copied: Path
) -> None:
    with scene.unchanged(cli.appliance):
        process = cli.start("verify", "made")
        master, socket = wait_until(lambda: _throwaway(cli, process), "a throwaway Postgres")
        with frozen(process.pid):
            assert process.poll() is None
            with psycopg.connect(host=str(socket), user="postgres", dbname="template1") as other:
                found = other.execute(_IDENTITY).fetchone()
            with cli.appliance.connect("postgres") as live:
                assert live.execute(_IDENTITY).fetchone() != found
            assert socket.stat().st_mode & 0o77 == 0
            below = processes.with_descendants(process.pid)
            assert master.pid in below
            assert _sockets(*below) & _listening() == set()
        scene.ended(process)
    assert not socket.exists()
    assert list(cli.appliance.storage.backups.glob(".staging*")) == []


def test_what_was_proven_is_noted_with_figures(cli: BackupCommand, copied: Path) -> None:
    cli.run("verify", "made")
    noted = backup_status.read(cli.appliance.storage)
    assert noted.proof == noted.proven
    assert noted.proof is not None
    assert (noted.proof.name, noted.proof.ok, noted.proof.tables) == ("made", True, 11)
    manifest = json.loads((copied / "manifest.json").read_text())
    assert noted.proof.rows == sum(table["rows"] for table in _database(manifest)["tables"])
    assert noted.proof.seconds > 0
    assert cli.audited()[-1] == ("verify", "made", True)


def test_a_failed_proof_is_noted_and_does_not_hide_the_last_good_one(
    cli: BackupCommand, copied: Path
) -> None:
    cli.run("verify", "made")
    proven = backup_status.read(cli.appliance.storage).proven
    (copied / "roles.sql").unlink()
    said = cli.refused("verify", "made")
    noted = backup_status.read(cli.appliance.storage)
    assert noted.proof is not None
    assert (noted.proof.name, noted.proof.ok) == ("made", False)
    assert noted.proof.message in " ".join(said.split())
    assert noted.proven == proven
    assert cli.audited()[-1] == ("verify", "made", False)
    assert "roles.sql is missing" in audit.tail(cli.appliance.storage, 1)[0]["message"]


@pytest.fixture(scope="module")
def doctored(shared: Appliance) -> Iterator[Path]:
    """A backup of the same size in which one row is another; its files fit its manifest."""
    with short_folder() as folder:
        cli = BackupCommand(shared, scene.own_folder(folder, "backups"))
        _execute(shared, _RENAME.format("Kept 1", "Kept X"))
        try:
            cli.run("create", "--name", "doctored")
        finally:
            _execute(shared, _RENAME.format("Kept X", "Kept 1"))
        yield cli.folder / "doctored"


def test_a_row_that_was_changed_with_all_its_checksums_is_found_by_comparing(
    cli: BackupCommand, made: Path, doctored: Path
) -> None:
    target = cli.folder / "made"
    scene.copy(doctored, target, name="made")
    true = json.loads((made / "manifest.json").read_text())
    scene.edit(target, lambda manifest: manifest.update(databases=true["databases"]))
    _assert_different(cli, "public.transactions")


ALTERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "public.transactions": lambda database: database["tables"].pop(),
    "sequences or large objects": lambda database: database.update(others="1" * 64),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_the_manifest_does_not_tell_is_found_by_comparing(
    cli: BackupCommand, copied: Path, what: str
) -> None:
    scene.edit(copied, lambda manifest: ALTERATIONS[what](_database(manifest)))
    _assert_different(cli, what)


def test_books_that_do_not_balance_are_no_proof_and_are_not_restored(cli: BackupCommand) -> None:
    amount = "UPDATE postings SET amount = amount {} 1 WHERE position = 1"
    replica = "SET session_replication_role = replica; "
    _execute(cli.appliance, replica + amount.format("+"))
    try:
        cli.run("create", "--name", "unbalanced")
    finally:
        _execute(cli.appliance, replica + amount.format("-"))
    with scene.unchanged(cli.appliance):
        for words in (("verify", "unbalanced"), ("restore", "unbalanced", "--force")):
            assert "the trial balance is not zero" in cli.refused(*words)
    proof = backup_status.read(cli.appliance.storage).proof
    assert proof is not None
    assert (proof.name, proof.ok) == ("unbalanced", False)


def _assert_different(cli: BackupCommand, what: str) -> None:
    with scene.unchanged(cli.appliance):
        for words in (("verify", "made"), ("restore", "made", "--force")):
            said = cli.refused(*words)
            assert f"made differs from its manifest after loading: {what}." in said
    assert list(cli.appliance.storage.backups.glob(".staging*")) == []


def _database(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in manifest["databases"] if one["name"] == "appliance")


def _execute(appliance: Appliance, text: str) -> None:
    with appliance.connect("postgres") as connection:
        connection.execute(text)


def _throwaway(cli: BackupCommand, process: "subprocess.Popen[str]") -> tuple[Process, Path] | None:
    """The throwaway Postgres and the folder of its socket, as soon as it serves."""
    assert process.poll() is None, process.communicate()
    pgdata = cli.appliance.storage.backups / ".staging-verify"
    for one in processes.descendants(process.pid):
        if f"/postgres -D {pgdata} " in one.command and one.parent == process.pid:
            socket = one.command.partition(SOCKETS)[2].partition(" ")[0]
            with suppress(psycopg.OperationalError):
                psycopg.connect(host=socket, user="postgres", dbname="template1").close()
                return one, Path(socket)
    return None


def _sockets(*pids: int) -> set[str]:
    """The numbers of all sockets that these processes have open."""
    links = set()
    for pid in pids:
        # A server that has said goodbye to its client, say.
        with suppress(FileNotFoundError):
            links |= {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = {name[len("socket:[") : -1] for name in links if name.startswith("socket:[")}
    assert found
    return found


def _listening() -> set[str]:
    """The numbers of all sockets that listen on TCP."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    found = {words[9] for words in lines if words[3] == LISTENING}
    assert found
    return found
