"""`appliance backup …`: words for people, documents for programs, and an audit of all of it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.backups import audit
from appliance.backups.format.backup_name import BackupName
from appliance.system import system_users
from tests.backups import scene
from tests.backups.destinations.backups import contents
from tests.backups.scene import TRANSACTIONS, BackupCommand
from tests.harness.appliance import Appliance

SHOWN = {
    "name",
    "path",
    "destinations",
    "fault",
    "created_at",
    "size",
    "counts",
    "encrypted",
    "compressed",
}
BAD_NAMES = ["../up", ".hidden", "", "prune", "x" * 129]


def test_people_read_what_was_made_proven_and_removed(cli: BackupCommand) -> None:
    made = cli.run("create", "--name", "first.one").stdout
    assert re.fullmatch(r"Made first\.one \([0-9.]+ kB\), kept in local\.\n", made)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    head, row = cli.run("list").stdout.splitlines()
    assert head.split("  ")[0] == "NAME"
    assert re.fullmatch(rf"first\.one  {today} [0-9:]{{5}} +[0-9.]+ kB  local", row)
    for heading, cell in (("MADE (UTC)", today), ("KEPT IN", "local")):
        assert head.index(heading) == row.index(cell)
    shown = cli.run("show", "first.one").stdout
    assert f"path       {cli.folder}/first.one\n" in shown
    assert "opened by  everyone who can read it (not encrypted)\n" in shown
    assert f"database   appliance, public.transactions: {TRANSACTIONS} rows\n" in shown
    proven = cli.run("verify", "first.one").stdout
    assert re.fullmatch(
        r"first\.one restores: 11 tables with [0-9]+ rows as they were, "
        r"and the books balance \([0-9.]+ s\)\.\n",
        proven,
    )
    assert cli.run("delete", "first.one", "-y").stdout.startswith("Removed first.one (")
    assert cli.run("list").stdout == "There are no backups. Make one: appliance backup create\n"
    assert list(cli.folder.iterdir()) == []


def test_programs_read_documents(cli: BackupCommand) -> None:
    made = cli.json("create", "--name", "first")
    short = {name: made[name] for name in SHOWN}
    counts = {"accounts": 2, "transactions": TRANSACTIONS}
    assert (short["name"], short["counts"], short["fault"]) == ("first", counts, None)
    assert (short["encrypted"], short["compressed"]) == (False, True)
    assert short["path"] == f"{cli.folder}/first"
    files = [path for path in (cli.folder / "first").rglob("*") if path.is_file()]
    dumped = [path for path in files if path.name != "manifest.json"]
    assert short["size"] == sum(path.stat().st_size for path in dumped)
    assert cli.json("list") == [short]
    assert cli.json("show", "first") == made
    proof = cli.json("verify", "first")
    assert (proof["name"], proof["ok"], proof["tables"], proof["message"]) == (
        "first",
        True,
        11,
        "",
    )
    restored = cli.json("restore", "first", "--force")
    assert restored == {"name": "first", "restored": True, "created_at": made["created_at"]}
    cli.run("create", "--name", "second")
    freed = sum(path.stat().st_size for path in files)
    assert cli.json("prune", "--keep", "1", "-y") == {
        "deleted_count": 1,
        "deleted_names": ["first"],
        "retained_count": 1,
        "bytes_freed": freed,
    }
    gone = cli.json("delete", "second", "-y")
    assert gone["name"] == "second"
    assert gone["bytes_freed"] > 0
    assert cli.json("list") == []


def test_a_backup_without_a_name_is_called_after_the_time(cli: BackupCommand) -> None:
    names = [cli.json("create")["name"] for _ in range(2)]
    assert all(BackupName(name).is_generated for name in names)
    assert cli.names() == names[::-1]
    moment = datetime.strptime(names[0][:27], "appliance-%Y-%m-%d-%H%M%S").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 300


def test_what_cannot_be_a_name_is_refused_by_every_action(cli: BackupCommand) -> None:
    for name in BAD_NAMES:
        assert "cannot be the name of a backup" in cli.refused("create", "--name", name, code=2)
    for words in (("show",), ("verify",), ("restore", "--force"), ("delete", "-y")):
        said = cli.refused(*words, "../backups", code=2)
        assert "cannot be the name of a backup" in said
    assert list(cli.folder.iterdir()) == []


def test_a_backup_that_is_not_there_is_said_to_be_missing(cli: BackupCommand) -> None:
    for words in (("show",), ("verify",), ("restore", "--force"), ("delete", "-y")):
        said = cli.refused(*words, "nowhere")
        assert "There is no backup nowhere in local." in said
        assert "List the backups to see which there are." in said


def test_a_name_that_is_taken_is_refused_and_what_has_it_is_left_as_it_is(
    cli: BackupCommand, copied: Path
) -> None:
    before = contents(cli.folder)
    said = cli.refused("create", "--name", "made")
    assert "There is a backup made in local already." in said
    assert contents(cli.folder) == before


def test_a_destination_that_nobody_configured_is_refused(cli: BackupCommand, place: Path) -> None:
    nas = scene.own_folder(place, "nas")
    said = cli.refused("create", "--to", "nsa", code=2, BACKUP_DESTINATIONS=f"nas={nas}")
    assert "There is no destination 'nsa'." in said
    assert "There are: local, nas." in said
    assert list(cli.folder.iterdir()) == []


def test_a_folder_on_the_command_line_is_used_alone(cli: BackupCommand, place: Path) -> None:
    other = scene.own_folder(place, "other")
    made = cli.json("create", "--name", "elsewhere", "--dir", str(other))
    assert made["destinations"] == ["dir"]
    assert made["path"] == f"{other}/elsewhere"
    assert cli.names() == []
    assert [one["name"] for one in cli.json("list", "--dir", str(other))] == ["elsewhere"]
    said = cli.refused("verify", "elsewhere", "--dir", str(other), "--from", "nas", code=2)
    assert "There is no destination 'nas'." in said
    cli.run("verify", "elsewhere", "--dir", str(other))
    cli.run("delete", "elsewhere", "-y", "--dir", str(other))
    assert list(other.iterdir()) == []


def test_a_folder_that_somebody_named_and_that_is_missing_is_told_and_not_made(
    cli: BackupCommand, place: Path
) -> None:
    missing = place / "not-mounted"
    for words in (("list",), ("show", "made"), ("create",), ("prune", "--keep", "1", "-y")):
        for said in (
            cli.refused(*words, "--dir", str(missing)),
            cli.refused(*words, BACKUP_DIR=str(missing)),
        ):
            assert f"The folder {missing} for backups does not exist." in said
            assert f"mkdir {missing}" in said
    assert not missing.exists()


def test_a_folder_of_the_databases_own_is_refused(cli: BackupCommand) -> None:
    storage = cli.appliance.storage
    for own in (storage.pgdata, storage.pgdata / "base", storage.run):
        for where, variables in ((("--dir", str(own)), {}), ((), {"BACKUP_DIR": str(own)})):
            said = cli.refused("create", "--name", "made", *where, code=2, **variables)
            assert f"The folder {own} cannot keep backups: the database has its own" in said
    assert not (storage.pgdata / "made").exists()


def test_a_folder_that_nobody_named_is_not_the_one_that_one_is_in(cli: BackupCommand) -> None:
    said = cli.refused("create", "--dir", "", code=2)
    assert "'--dir': it is empty. Name a folder." in said


def test_each_command_says_how_it_ends(cli: BackupCommand) -> None:
    for command in ("create", "list", "show", "verify", "restore", "prune", "delete"):
        assert "Ends with 1 " in " ".join(cli.run(command, "--help").stdout.split())


def test_no_backup_at_all_cannot_be_kept(cli: BackupCommand, copied: Path) -> None:
    for keep in ("0", "-1"):
        said = cli.refused("prune", "--keep", keep, "-y", code=2)
        assert "keep at least 1" in said
    assert cli.names() == ["made"]


def test_one_at_a_time_and_who_comes_second_is_told_who_is_at_work(
    cli: BackupCommand, copied: Path
) -> None:
    with scene.held(cli.appliance) as wait:
        first = cli.start("create", "--name", "first")
        wait()
        for words in (
            ("create", "--name", "second"),
            ("verify", "made"),
            ("restore", "made", "--force"),
            ("prune", "--keep", "1", "-y"),
            ("delete", "made", "-y"),
        ):
            said = cli.refused(*words)
            assert "Another one is at work on the backups of this storage: create, since" in said
    assert "Made first" in scene.ended(first)
    assert cli.names() == ["first", "made"]


@pytest.fixture
def idle(place: Path, made: Path) -> BackupCommand:
    """The command on a storage where nothing runs, with a backup."""
    appliance = Appliance(place / "s")
    appliance.storage.prepare(system_users.detect())
    scene.copy(made, appliance.storage.backups / "made")
    return BackupCommand(appliance, appliance.storage.backups)


def test_a_database_that_does_not_run_has_an_exit_code_of_its_own(idle: BackupCommand) -> None:
    before = contents(idle.folder)
    for words in (("create",), ("restore", "made"), ("restore", "made", "--force")):
        said = idle.refused(*words, code=6)
        assert "database" in said
        assert "Is the appliance running on this storage" in said
    assert contents(idle.folder) == before
    idle.run("verify", "made")


def test_everything_that_was_done_or_refused_is_in_the_audit(cli: BackupCommand) -> None:
    before = len(cli.audited())
    cli.run("create", "--name", "audited")
    cli.refused("create", "--name", "audited")
    cli.run("restore", "audited", code=1)
    cli.run("prune", "--keep", "1", "-y")
    cli.run("delete", "audited", "-y")
    assert cli.audited()[before:] == [
        ("create", "audited", True),
        ("create", "audited", False),
        ("restore", "audited", False),
        ("prune", None, True),
        ("delete", "audited", True),
    ]
    last = audit.tail(cli.appliance.storage, 4)
    assert {one["actor"] for one in last} == {"command line (user root)"}
    assert "already" in last[0]["message"]
    assert "data" in last[1]["message"]
