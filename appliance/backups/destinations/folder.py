"""Backups in a folder of this machine, or of a NAS that is mounted here."""

import errno
import os
import secrets
import shlex
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from appliance.backups.backup_errors import ConflictError, DamagedError, DestinationError
from appliance.backups.destinations import local_files
from appliance.backups.destinations.destination import (
    DAY_S,
    ReportBytes,
    StoredBackup,
    check_name_matches,
    is_incomplete,
    missing_error,
    name_taken_error,
    not_found_error,
)
from appliance.backups.destinations.local_files import check_space, os_errors_explained
from appliance.backups.format import manifest as manifests
from appliance.backups.format.backup_name import BackupName, names_among
from appliance.backups.format.manifest import STAGING, Manifest
from appliance.backups.format.staged_backup import StagedBackup
from appliance.system.files import fsync_directory, rename_durably

_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


class FolderDestination:
    """A folder with a folder for each backup, which is renamed there when it is whole.

    What is copied is compared with the manifest on its way and fsynced. It is not read again: that
    would ask the page cache and not the disk.
    """

    def __init__(self, name: str, path: Path, *, make: bool = True) -> None:
        """`make`: it may be made below a folder that is there. A mount is better not made."""
        self.name = name
        self.where = str(path)
        self.path = path
        self._make = make

    def list_manifests(self) -> list[StoredBackup]:
        """All backups here by name; see Destination."""
        if not self._is_there():
            return []
        with os_errors_explained(self.path):
            folders = sorted(entry.name for entry in os.scandir(self.path) if entry.is_dir())
        return [self._entry(name) for name in names_among(folders) if self._is_backup(name)]

    def read_manifest(self, name: BackupName) -> Manifest:
        """The manifest of one backup; raises NotFoundError, DamagedError."""
        folder = self.folder_of(name)
        with os_errors_explained(self.path):
            return check_name_matches(manifests.read(folder), name, self.where)

    def store(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup to here; see Destination. Broken off, it begins anew."""
        self._refuse_taken(manifest.name)
        with self.stage(manifest.name) as staged, os_errors_explained(self.path, manifest.size):
            check_space(self.path, manifest.size)
            _copy(manifest, folder, staged.folder, report, durable=True)
            staged.commit(manifest)

    def stage(self, name: BackupName) -> StagedBackup:
        """A backup that comes to be here, without a copy; see `_StagedHere`."""
        self._make_ready()
        with os_errors_explained(self.path):
            return _StagedHere(self, name)

    def fetch(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup from here; see Destination."""
        source = self.folder_of(manifest.name)
        check_space(folder, manifest.size)
        with os_errors_explained(folder, manifest.size):
            _copy(manifest, source, folder, report, durable=False)

    def folder_of(self, name: BackupName) -> Path:
        """Where the backup lies; raises NotFoundError, DamagedError if it has no manifest."""
        if not (self._is_there() and self._has_manifest(name)):
            raise missing_error(name, self.where, self._entries(name))
        return self.path / name

    def delete(self, name: BackupName) -> int:
        """Remove a backup; returns bytes freed. Broken off, `clean` removes the rest."""
        if not (self._is_there() and self._is_backup(name)):
            raise not_found_error(name, self.where)
        folder = self.path / name
        doomed = self.path / f"{STAGING}-{name}-{secrets.token_hex(4)}"
        with os_errors_explained(self.path):
            size_bytes = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
            rename_durably(folder, doomed)
            try:
                (doomed / manifests.FILE).unlink(missing_ok=True)
            except OSError:
                # Whole as it is, it stays the backup that it was.
                rename_durably(doomed, folder)
                raise
            _remove(doomed)
        return size_bytes

    def clean(self, older_than_s: float = DAY_S) -> None:
        """Remove what is staged and was not written to for so long, by this folder's own clock."""
        if not self._is_there():
            return
        with os_errors_explained(self.path):
            # A NAS has a clock of its own, and it is that one that stamps the files.
            os.utime(self.path)
            now = self.path.stat().st_mtime
            for staged in self.path.glob(f"{STAGING}-*"):
                if now - _newest(staged) >= older_than_s:
                    _remove(staged)

    def _entry(self, name: BackupName) -> StoredBackup:
        try:
            manifest = self.read_manifest(name)
            with os_errors_explained(self.path):
                manifests.check_sizes(manifest, partial(manifests.size_in, self.path / name))
            return StoredBackup(name, manifest, None)
        except (DamagedError, DestinationError) as error:
            return StoredBackup(name, None, error)

    def _has_manifest(self, name: BackupName) -> bool:
        with os_errors_explained(self.path):
            return os.path.lexists(self.path / name / manifests.FILE)

    def _is_backup(self, name: BackupName) -> bool:
        return self._has_manifest(name) or is_incomplete(name, self._entries(name))

    def _entries(self, name: BackupName) -> list[str]:
        # What this user may not look into is somebody else's.
        with suppress(OSError):
            return [entry.name for entry in (self.path / name).iterdir()]
        return []

    def _is_there(self) -> bool:
        # A destination that is away must not look like one without backups. Somebody else may make
        # it just now, so what is not there is asked for first.
        is_new = not os.path.lexists(self.path)
        with os_errors_explained(self.path):
            if self.path.is_dir():
                return True
            if is_new and self._make and self.path.parent.is_dir():
                return False
        raise _unusable(self.path)

    def _make_ready(self) -> None:
        if not self._is_there():
            with os_errors_explained(self.path):
                self.path.mkdir(mode=0o750, exist_ok=True)
                fsync_directory(self.path.parent)

    def _refuse_taken(self, name: BackupName) -> None:
        if os.path.lexists(self.path / name):
            raise self.taken_error(name)

    def taken_error(self, name: BackupName) -> ConflictError:
        """The error for what is in the way of a backup."""
        if os.path.lexists(self.path / name / manifests.FILE):
            return name_taken_error(name, self.where)
        return ConflictError(
            f"{self.path / name} is in the way, and it is no backup: it has no {manifests.FILE}.",
            "Choose another name, or move it away.",
        )


class _StagedHere(StagedBackup):
    """Staged in a folder; `commit` raises ConflictError if the name is taken, DestinationError."""

    def __init__(self, destination: FolderDestination, name: BackupName) -> None:
        staging = destination.path / f"{STAGING}-{name}-{secrets.token_hex(4)}"
        super().__init__(name, staging, destination.path / name)
        self.kept_in = (destination.name,)
        self._destination = destination

    def commit(self, manifest: Manifest) -> Path:
        with os_errors_explained(self._destination.path):
            try:
                return super().commit(manifest)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise self._destination.taken_error(self.name) from error
                raise


def _copy(
    manifest: Manifest, source: Path, target: Path, report: ReportBytes, *, durable: bool
) -> None:
    for file in manifest.files:
        blocks = local_files.read_checked(source, file, manifest.name, report)
        local_files.write(blocks, target / file.path, durable=durable)


def _remove(path: Path) -> None:
    # Two may clean at the same time; the other one goes on then.
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _newest(path: Path) -> float:
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except FileNotFoundError:
        # It was renamed or removed meanwhile: somebody is at work on it.
        return float("inf")


def _unusable(path: Path) -> DestinationError:
    if os.path.lexists(path):
        return DestinationError(
            f"{path} cannot keep backups: it is not a folder.", "Name a folder instead."
        )
    return DestinationError(
        f"The folder {path} for backups does not exist.",
        f"Make it with `mkdir {shlex.quote(str(path))}`, or mount what belongs there.",
    )
