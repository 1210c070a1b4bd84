"""A backup in the making: a folder beside its place, renamed there when it is whole."""

import shutil
from pathlib import Path

from appliance.backups.format import manifest as manifests
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import Manifest
from appliance.system.files import fsync_tree, rename_durably


class StagedBackup:
    """A new empty `folder` that takes the files of a backup; gone at the end of the block.

    Committed, it is in its `place`. Without a place it is copied to others and no more. Whoever is
    killed leaves the folder, by whose name it is no backup.
    """

    # The destination that keeps it then.
    kept_in: tuple[str, ...] = ()

    def __init__(self, name: BackupName, folder: Path, place: Path | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o750)
        self.name = name
        self.folder = folder
        self._place = place

    def __enter__(self) -> "StagedBackup":
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def commit(self, manifest: Manifest) -> Path:
        """Make a backup of it, whose files are on the disk already; returns where it lies then.

        Raises OSError if its place is taken.
        """
        manifests.write(manifest, self.folder)
        fsync_tree(self.folder)
        return self.move_into_place()

    def move_into_place(self) -> Path:
        """Rename it, durably; returns where it lies then. Without a manifest it is no backup."""
        if self._place is None:
            return self.folder
        rename_durably(self.folder, self._place)
        return self._place

    def discard(self) -> None:
        """Remove it, if it is still here."""
        shutil.rmtree(self.folder, ignore_errors=True)
