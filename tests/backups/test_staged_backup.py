"""A backup in the making: it is in its place when it is whole, and nowhere otherwise."""

from contextlib import suppress
from pathlib import Path

import pytest

from appliance.backups.format import manifest as manifests
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.staged_backup import StagedBackup
from tests.backups.destinations import backups

NAME = BackupName("nightly")


def test_committed_it_is_in_its_place_with_its_manifest(tmp_path: Path) -> None:
    with StagedBackup(NAME, tmp_path / ".staging-nightly", tmp_path / NAME) as staged:
        manifest = backups.make(staged.folder)
        inode = staged.folder.stat().st_ino
        assert staged.commit(manifest) == tmp_path / NAME
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).stat().st_ino == inode
    assert manifests.read(tmp_path / NAME) == manifest


def test_without_a_place_it_stays_where_it_is_until_the_end(tmp_path: Path) -> None:
    with StagedBackup(NAME, tmp_path / ".staging-nightly", None) as staged:
        manifest = backups.make(staged.folder)
        assert staged.commit(manifest) == staged.folder
        assert manifests.read(staged.folder) == manifest
    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with (
        suppress(KeyboardInterrupt),
        StagedBackup(NAME, tmp_path / ".staging-nightly", tmp_path / NAME) as staged,
    ):
        backups.make(staged.folder)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "mine").touch()
    with StagedBackup(NAME, tmp_path / ".staging-nightly", tmp_path / NAME) as staged:
        manifest = backups.make(staged.folder)
        with pytest.raises(OSError, match="not empty"):
            staged.commit(manifest)
    assert [path.name for path in tmp_path.rglob("*")] == [NAME, "mine"]


def test_what_a_killed_one_left_there_is_gone_first(tmp_path: Path) -> None:
    (tmp_path / ".staging-hook" / "old").mkdir(parents=True)
    with StagedBackup(NAME, tmp_path / ".staging-hook", None) as staged:
        assert list(staged.folder.iterdir()) == []
