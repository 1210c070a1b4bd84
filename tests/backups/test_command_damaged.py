"""What the command line says of what is damaged, and of what it is to remove."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backups import scene
from tests.backups.scene import Desk

REMOVALS = (("delete", "made"), ("prune", "--keep", "1"))


def test_nothing_is_removed_unless_somebody_says_yes(desk: Desk, copied: Path) -> None:
    scene.copy(copied, desk.folder / "older", name="older")
    for words in REMOVALS:
        asked = desk.answered("n", *words, code=1)
        assert "Remove" in asked
        assert "made" in asked
    assert sorted(desk.names()) == ["made", "older"]
    desk.answered("y", "prune", "--keep", "1")
    assert desk.names() == ["older"]
    desk.answered("y", "delete", "older")
    assert desk.names() == []


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_where_nobody_can_be_asked_nothing_is_removed_and_that_is_said(
    desk: Desk, copied: Path, how: tuple[str, ...]
) -> None:
    scene.copy(copied, desk.folder / "older", name="older")
    for words in REMOVALS:
        said = desk.refused(*words, *how)
        assert "Nothing was removed: add -y to do it without being asked.\n" in said
    # Who writes into a pipe may do so later, or never.
    ours, its = os.pipe()
    with open(its, "wb", 0) as writer, open(ours, "rb", 0) as pipe:
        writer.write(b"y\n")
        assert "add -y" in desk.run("delete", "made", code=1, stdin=pipe).stderr
    assert sorted(desk.names()) == ["made", "older"]


def test_what_is_damaged_is_listed_with_its_reason_and_does_not_count_as_well(
    desk: Desk, copied: Path
) -> None:
    for name in ("cut", "half", "newer"):
        scene.copy(copied, desk.folder / name, name=name)
    (desk.folder / "cut" / "manifest.json").write_text("{")
    (desk.folder / "half" / "manifest.json").unlink()
    scene.edit(desk.folder / "newer", lambda manifest: manifest.update(format=99))
    scene.copy(copied, desk.folder / "renamed")
    reasons = {
        "newer": "has format 99; this version reads format 1.",
        "renamed": f"{desk.folder}/renamed holds the backup made.",
        "half": "it has no manifest.json",
        "cut": "cannot be read.",
    }
    listed = desk.run("list", code=1)
    head, first, *rows = listed.stdout.splitlines()
    assert first.split()[0] == "made"
    assert sorted(row.split()[0] for row in rows) == sorted(reasons)
    for row in rows:
        assert row.index("DAMAGED: ") == head.index("NOTE")
        assert reasons[row.split()[0]] in row
    assert "damaged: renamed, newer, half, cut.\n" in listed.stderr
    documents = json.loads(desk.run("list", "--json", code=1).stdout)
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
    desk: Desk, copied: Path, damage: Callable[[Path], object], hint: str
) -> None:
    damage(copied)
    shown = desk.run("show", "made", code=1).stdout
    assert f"path       {copied}\nkept in    local\nDAMAGED    " in shown
    assert hint in shown
    document = json.loads(desk.run("show", "made", "--json", code=1).stdout)
    assert (document["destinations"], document["size"]) == (["local"], None)
    assert hint in document["fault"]
    assert hint in desk.refused("verify", "made")
    assert "There is a backup made in local already." in desk.refused("create", "--name", "made")
    desk.run("prune", "--keep", "1", "-y")
    desk.run("delete", "made", "-y")
    assert list(desk.folder.iterdir()) == []


def test_what_a_trial_restore_has_refused_does_not_count_as_one_that_is_kept(
    desk: Desk, copied: Path
) -> None:
    scene.copy(copied, desk.folder / "z-newest", name="z-newest")
    roles = desk.folder / "z-newest" / "roles.sql"
    roles.write_bytes(roles.read_bytes()[::-1])
    assert "roles.sql was altered" in desk.refused("verify", "z-newest")
    assert "kept 2" in desk.run("prune", "--keep", "1", "-y").stdout
    assert sorted(path.name for path in desk.folder.iterdir()) == ["made", "z-newest"]


def test_a_copy_that_is_damaged_beside_a_whole_one_is_told(desk: Desk, copied: Path) -> None:
    nas = scene.own_folder(desk.folder.parent, "nas")
    scene.copy(copied, nas / "made")
    (copied / "roles.sql").unlink()
    settings = {"BACKUP_DESTINATIONS": f"nas={nas}"}
    row = desk.run("list", **settings).stdout.splitlines()[1]
    assert row.split()[-3:] == ["DAMAGED", "in", "local"]
    desk.run("verify", "made", **settings)
