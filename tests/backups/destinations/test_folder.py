"""A folder, and what can be wrong with it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.backups.backup_errors import ConflictError, DestinationError
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import FILE, File
from appliance.errors import ApplianceError
from tests.backups.destinations import backups
from tests.backups.destinations.children import ROOT
from tests.harness.requirements import needs_namespaces, needs_root

NOBODY = 65534
TWO_DAYS_S = 2 * 24 * 3600


@pytest.fixture
def local(open_folder: Path) -> FolderDestination:
    """A folder that is not there yet, in one that is."""
    return FolderDestination("local", open_folder / "backups")


def test_a_folder_is_made_when_the_first_backup_comes(
    local: FolderDestination, source: Path
) -> None:
    assert local.list_manifests() == []
    assert not local.path.exists()
    local.store(backups.make(source), source, backups.ignore)
    assert local.path.stat().st_mode & 0o007 == 0
    assert local.folder_of(BackupName("nightly")) == local.path / "nightly"


@pytest.mark.parametrize("make", [True, False])
def test_a_mount_that_is_missing_is_not_filled(open_folder: Path, source: Path, make: bool) -> None:
    path = open_folder / "mnt" / "nas" if make else open_folder / "nas"
    missing = FolderDestination("nas", path, make=make)
    manifest = backups.make(source)
    for act in _every_use(missing, manifest.name, source):
        with pytest.raises(DestinationError, match=f"{path} for backups does not exist") as refused:
            act()
        assert f"mkdir {path}" in refused.value.hint
    assert list(open_folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_told_and_kept(
    open_folder: Path, source: Path
) -> None:
    (open_folder / "backups").write_text("mine")
    for act in _every_use(FolderDestination("local", open_folder / "backups"), "nightly", source):
        with pytest.raises(DestinationError, match="not a folder"):
            act()
    assert (open_folder / "backups").read_text() == "mine"


def test_a_folder_that_may_not_be_written_to_is_told(
    local: FolderDestination, source: Path
) -> None:
    manifest = backups.make(source)
    local.path.mkdir(0o555)
    with _without_rights(), pytest.raises(DestinationError, match="write access") as refused:
        local.store(manifest, source, backups.ignore)
    assert str(local.path) in refused.value.message
    assert list(local.path.iterdir()) == []


def test_a_backup_that_does_not_fit_is_refused_before_anything_is_copied(
    local: FolderDestination, source: Path, fetched: Path
) -> None:
    manifest = backups.make(source)
    local.store(manifest, source, backups.ignore)
    huge = backups.with_file(manifest, File("huge.dat", 1 << 60, "0" * 64))
    copied: list[int] = []
    with pytest.raises(DestinationError, match=r"needs \d+ MiB, \d+ MiB are free"):
        local.store(replace(huge, name=BackupName("huge")), source, copied.append)
    with pytest.raises(DestinationError, match=r"needs \d+ MiB, \d+ MiB are free"):
        local.fetch(huge, fetched, copied.append)
    assert copied == []
    assert [path.name for path in local.path.iterdir()] == ["nightly"]


@needs_namespaces
def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    inside = ["unshare", "--mount", sys.executable, "-m", "tests.backups.destinations.full_disk"]
    ended = subprocess.run(
        [*inside, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == {
        "error": "DestinationError",
        "told": True,
        "left": ["filler"],
        "after room was made": ["filler", "nightly"],
    }


def test_a_staged_backup_is_committed_without_a_copy(
    local: FolderDestination, fetched: Path
) -> None:
    with local.stage(BackupName("nightly")) as staged:
        manifest = backups.make(staged.folder)
        inode = (staged.folder / "roles.sql").stat().st_ino
        assert local.list_manifests() == []
        assert staged.commit(manifest) == local.path / "nightly"
    assert not staged.folder.exists()
    assert (local.path / "nightly" / "roles.sql").stat().st_ino == inode
    assert local.read_manifest(BackupName("nightly")) == manifest
    local.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.SMALL


def test_a_staged_backup_whose_name_is_taken_leaves_the_other_as_it_is(
    local: FolderDestination, source: Path, fetched: Path
) -> None:
    kept = backups.make(source)
    with local.stage(BackupName("nightly")) as staged:
        manifest = backups.make(staged.folder, contents={"roles.sql": b"altogether different"})
        local.store(kept, source, backups.ignore)
        with pytest.raises(ConflictError, match="nightly"):
            staged.commit(manifest)
        assert (staged.folder / "roles.sql").exists()
    assert [path.name for path in local.path.iterdir()] == ["nightly"]
    local.fetch(kept, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.SMALL


def test_a_staged_backup_that_fails_leaves_nothing(local: FolderDestination) -> None:
    with suppress(KeyboardInterrupt), local.stage(BackupName("nightly")) as staged:
        backups.make(staged.folder)
        assert [path.name for path in local.path.iterdir()] == [staged.folder.name]
        raise KeyboardInterrupt
    assert list(local.path.iterdir()) == []


def test_a_folder_without_a_manifest_is_in_the_way_and_kept(
    local: FolderDestination, source: Path
) -> None:
    (local.path / "nightly").mkdir(parents=True)
    (local.path / "nightly" / "mine.txt").write_text("mine")
    with pytest.raises(ConflictError, match=f"no {FILE}"):
        local.store(backups.make(source), source, backups.ignore)
    assert backups.contents(local.path) == {"nightly/mine.txt": b"mine"}


def test_of_two_stores_of_one_name_at_the_same_time_one_is_kept_whole(
    local: FolderDestination, source: Path, fetched: Path
) -> None:
    manifest, halfway = backups.make(source), threading.Barrier(2)
    ends: list[ApplianceError | None] = []
    met: set[int] = set()

    def meet(_: int) -> None:
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            halfway.wait(30)

    def store() -> None:
        try:
            local.store(manifest, source, meet)
            ends.append(None)
        except ApplianceError as error:
            ends.append(error)

    threads = [threading.Thread(target=store) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(type(end).__name__ for end in ends) == ["ConflictError", "NoneType"]
    assert [path.name for path in local.path.iterdir()] == ["nightly"]
    local.fetch(manifest, fetched, backups.ignore)


def test_only_what_nobody_has_written_to_for_a_day_is_cleaned_away(
    local: FolderDestination,
) -> None:
    old, growing, young = (
        local.stage(BackupName(name)).folder for name in ("old", "growing", "young")
    )
    backups.make(old)
    backups.make(growing)
    for path in (old, *old.rglob("*"), growing, *growing.rglob("*")):
        _age(path, TWO_DAYS_S)
    _age(growing / "dump" / "toc.dat", 3600)
    local.clean()
    assert set(local.path.iterdir()) == {growing, young}


def test_what_an_interrupted_delete_left_does_not_claim_to_be_a_backup_and_is_cleaned_away(
    local: FolderDestination, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.store(backups.make(source), source, backups.ignore)
    monkeypatch.setattr("shutil.rmtree", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        local.delete(BackupName("nightly"))
    monkeypatch.undo()
    assert local.list_manifests() == []
    assert backups.contents(local.path)
    assert not any(path.endswith(FILE) for path in backups.contents(local.path))
    local.clean(0)
    assert list(local.path.iterdir()) == []


@needs_root
def test_a_folder_that_this_user_may_not_look_into_is_no_backup(
    local: FolderDestination, source: Path
) -> None:
    local.store(backups.make(source), source, backups.ignore)
    (local.path / "private").mkdir(mode=0o700)
    (local.path / "private" / "roles.sql").touch()
    for path in (local.path, *(local.path / "nightly").rglob("*"), local.path / "nightly"):
        path.chmod(0o755)
    with _without_rights():
        assert [entry.name for entry in local.list_manifests()] == ["nightly"]


def test_a_manifest_that_cannot_be_opened_does_not_hide_the_others(
    local: FolderDestination, source: Path
) -> None:
    for name in ("a", "b"):
        local.store(backups.make(source, name), source, backups.ignore)
    (local.path / "a" / FILE).unlink()
    (local.path / "a" / FILE).mkdir()
    a, b = local.list_manifests()
    assert b.manifest
    assert "Is a directory" in str(a.fault)


def _every_use(destination: Destination, name: str, source: Path) -> Iterator[Callable[[], object]]:
    manifest = backups.make(source, name)
    yield destination.list_manifests
    yield lambda: destination.read_manifest(manifest.name)
    yield lambda: destination.store(manifest, source, backups.ignore)
    yield lambda: destination.fetch(manifest, source, backups.ignore)
    yield lambda: destination.delete(manifest.name)
    yield destination.clean


@contextmanager
def _without_rights() -> Iterator[None]:
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))
