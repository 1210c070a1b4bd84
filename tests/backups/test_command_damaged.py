"""What the command line says of what is damaged, and of what it is to remove."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backups import scene
from tests.backups.scene import BackupCommand

REMOVALS = (("delete", "made"), ("prune", "--keep", "1"))


def test_nothing_is_removed_unless_somebody_says_yes(cli: BackupCommand, copied: Path) -> None:
    scene.copy(copied, cli.folder / "older", name="older")
    for words in REMOVALS:
        asked = cli.answered("n", *words, code=1)
        assert "Remove" in asked
        assert "made" in asked
    assert sorted(cli.names()) == ["made", "older"]
    cli.answered("y", "prune", "--keep", "1")
    assert cli.names() == ["older"]
    cli.answered("y", "delete", "older")
    assert cli.names() == []


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_where_nobody_can_be_asked_nothing_is_removed_and_that_is_said(
    cli: BackupCommand, copied: Path, how: tuple[str, ...]
) -> None:
    scene.copy(copied, cli.folder / "older", name="older")
    for words in REMOVALS:
        said = cli.refused(*words, *how)
        assert "Nothing was removed: add -y to do it without being asked.\n" in said
    # Who writes into a pipe may do so later, or never.
    ours, its = os.pipe()
    with open(its, "wb", 0) as writer, open(ours, "rb", 0) as pipe:
        writer.write(b"y\n")
        assert "add -y" in cli.run("delete", "made", code=1, stdin=pipe).stderr
    assert sorted(cli.names()) == ["made", "older"]


def test_what_is_damaged_is_listed_with_its_reason_and_does_not_count_as_well(
    cli: BackupCommand, copied: Path
) -> None:
    for name in ("cut", "half", "newer"):
        scene.copy(copied, cli.folder / name, name=name)
    (cli.folder / "cut" / "manifest.json").write_text("{")
    (cli.folder / "half" / "manifest.json").unlink()
    scene.edit(cli.folder / "newer", lambda manifest: manifest.update(format=99))
    scene.copy(copied, cli.folder / "renamed")
    reasons = {
        "newer": "has format 99; this version reads format 1.",
        "renamed": f"{cli.folder}/renamed holds the backup made.",
        "half": "it has no manifest.json",
        "cut": "cannot be read.",
    }
    listed = cli.run("list", code=1)
    head, first, *rows = listed.stdout.splitlines()
    assert first.split()[0] == "made"
    assert sorted(row.split()[0] for row in rows) == sorted(reasons)
    for row in rows:
        assert row.index("DAMAGED: ") == head.index("NOTE")
        assert reasons[row.split()[0]] in row
    assert "damaged: renamed, newer, half, cut.\n" in listed.stderr
    documents = json.loads(cli.run("list", "--json", code=1).stdout)
    assert {one["name"] for one in documents if one["fault"]} == set(reasons)


@pytest.mark.parametrize(
    ("damage", "hint"),
    [
        (lambda made: (made / "manifest.json").unlink(), "Use another backup"),
        (lambda made: scene.edit(made, lambda m: m.update(format=99)), "A newer version"),
        (lambda made: scene.edit(made, lambda m: m.update(name="old")), "Rename the folder back"),
    ],
)
def test_what_is_damaged_is_shown_with_what_to_do_and_can_be_deleted(
    cli: BackupCommand, copied: Path, damage: Callable[[Path], object], hint: str
) -> None:
    damage(copied)
    shown = cli.run("show", "made", code=1).stdout
    assert f"path       {copied}\nkept in    local\nDAMAGED    " in shown
    assert hint in shown
    document = json.loads(cli.run("show", "made", "--json", code=1).stdout)
    assert (document["destinations"], document["size"]) == (["local"], None)
    assert hint in document["fault"]
    assert hint in cli.refused("verify", "made")
    assert "There is a backup made in local already." in cli.refused("create", "--name", "made")
    cli.run("prune", "--keep", "1", "-y")
    cli.run("delete", "made", "-y")
    assert list(cli.folder.iterdir()) == []


def test_what_a_trial_restore_has_refused_does_not_count_as_one_that_is_kept(
    cli: BackupCommand, copied: Path
) -> None:
    scene.copy(copied, cli.folder / "z-newest", name="z-newest")
    roles = cli.folder / "z-newest" / "roles.sql"
    roles.write_bytes(roles.read_bytes()[::-1])
    assert "roles.sql was altered" in cli.refused("verify", "z-newest")
    assert "kept 2" in cli.run("prune", "--keep", "1", "-y").stdout
    assert sorted(path.name for path in cli.folder.iterdir()) == ["made", "z-newest"]


def test_a_copy_that_is_damaged_beside_a_whole_one_is_told(
    cli: BackupCommand, copied: Path
) -> None:
    nas = scene.own_folder(cli.folder.parent, "nas")
    scene.copy(copied, nas / "made")
    (copied / "roles.sql").unlink()
    both = cli.given(BACKUP_DESTINATIONS=f"nas={nas}")
    row = both.run("list").stdout.splitlines()[1]
    assert row.split()[-3:] == ["DAMAGED", "in", "local"]
    both.run("verify", "made")
