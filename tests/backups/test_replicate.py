"""Where a backup comes to be: in the first destination that can take it."""

from pathlib import Path
from typing import cast

import pytest

from appliance.backups.backup_errors import DestinationError
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.destinations.replicate import Replication
from appliance.backups.format.backup_name import BackupName
from appliance.errors import DiskSpaceError
from appliance.postgres import disk_space
from appliance.storage.paths import Storage
from appliance.system.progress import Progress, silent

NAME = BackupName("made")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """With a folder for backups, and nothing else."""
    made = Storage(tmp_path / "s")
    made.backups.mkdir(parents=True)
    return made


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderDestination:
    """A folder on a disk that is full."""
    (tmp_path / "full").mkdir()

    def check(folder: Path, _more_bytes: int = 0) -> None:
        if "full" in folder.parts:
            raise DiskSpaceError("The disk of full has too little room.")

    monkeypatch.setattr(disk_space, "check_to_go_on", check)
    return FolderDestination("full", tmp_path / "full", make=False)


def test_a_full_folder_is_passed_over(
    storage: Storage, full: FolderDestination, tmp_path: Path
) -> None:
    (tmp_path / "nas").mkdir()
    nas = FolderDestination("nas", tmp_path / "nas", make=False)
    staged = Replication([full, nas], storage, Progress(silent)).stage(NAME)
    assert (staged.folder.parent, staged.kept_in) == (nas.path, ("nas",))
    assert list(full.path.iterdir()) == []


def test_where_no_folder_can_take_it_the_storage_does(
    storage: Storage, full: FolderDestination, tmp_path: Path
) -> None:
    away = FolderDestination("away", tmp_path / "away", make=False)
    bucket = FolderDestination("bucket", tmp_path / "bucket", make=False)
    # As a bucket it is no folder.
    destinations: list[Destination] = [full, away, cast(Destination, Wrapped(bucket))]
    staged = Replication(destinations, storage, Progress(silent)).stage(NAME)
    assert (staged.folder.parent, staged.kept_in) == (storage.backups, ())


def test_if_none_can_take_it_the_reason_of_the_first_is_told(
    storage: Storage, full: FolderDestination, tmp_path: Path
) -> None:
    away = FolderDestination("away", tmp_path / "away", make=False)
    with pytest.raises(DiskSpaceError):
        Replication([full, away], storage, Progress(silent)).stage(NAME)
    with pytest.raises(DestinationError):
        Replication([away, full], storage, Progress(silent)).stage(NAME)
    assert list(full.path.iterdir()) == list(storage.backups.iterdir()) == []


class Wrapped:
    """A destination that is not known to be a folder."""

    def __init__(self, folder: FolderDestination) -> None:
        self._folder = folder

    def __getattr__(self, name: str) -> object:
        return getattr(self._folder, name)
