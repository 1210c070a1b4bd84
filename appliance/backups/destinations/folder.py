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
    STAGING,
    ReportBytes,
    StoredBackup,
    can_be_name,
    check_manifest,
    check_name_matches,
    is_incomplete,
    missing_error,
    name_taken_error,
    not_found_error,
)
from appliance.backups.destinations.local_files import check_space, os_errors_explained
from appliance.backups.format import backup_name
from appliance.backups.format import manifest as manifests
from appliance.backups.format.manifest import Manifest
from appliance.system.files import fsync, fsync_directory, rename_durably

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
            found = sorted(entry.name for entry in os.scandir(self.path) if entry.is_dir())
        return [self._entry(name) for name in found if can_be_name(name) and self._is_backup(name)]

    def read_manifest(self, name: str) -> Manifest:
        """The manifest of one backup; raises NotFoundError, DamagedError."""
        folder = self.folder_of(name)
        with os_errors_explained(self.path):
            return check_name_matches(manifests.read(folder), name, self.where)

    def store(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup to here; see Destination. Broken off, it begins anew."""
        check_manifest(manifest)
        self._refuse_taken(manifest.name)
        staged = self.stage(manifest.name)
        with os_errors_explained(self.path, manifest.size):
            try:
                check_space(self.path, manifest.size)
                _copy(manifest, folder, staged, report, durable=True)
                self._complete(manifest, staged)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise

    def stage(self, name: str) -> Path:
        """Make a folder here in which a backup may come to be, for `adopt`."""
        backup_name.check(name)
        self._make_ready()
        staged = self.path / f"{STAGING}-{name}-{secrets.token_hex(4)}"
        with os_errors_explained(self.path):
            staged.mkdir(mode=0o750)
        return staged

    def adopt(self, manifest: Manifest, staged: Path) -> None:
        """Make a backup of a folder that `stage` made; nothing is copied or compared.

        Raises ConflictError, and DestinationError; `staged` is still there then.
        """
        check_manifest(manifest)
        self._refuse_taken(manifest.name)
        with os_errors_explained(self.path):
            for file in manifest.files:
                fsync(staged / file.path)
            self._complete(manifest, staged)

    def fetch(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup from here; see Destination."""
        check_manifest(manifest)
        source = self.folder_of(manifest.name)
        check_space(folder, manifest.size)
        with os_errors_explained(folder, manifest.size):
            _copy(manifest, source, folder, report, durable=False)

    def folder_of(self, name: str) -> Path:
        """Where the backup lies; raises NotFoundError, DamagedError if it has no manifest."""
        backup_name.check(name)
        if not (self._is_there() and self._has(name)):
            raise missing_error(name, self.where, self._found(name))
        return self.path / name

    def delete(self, name: str) -> int:
        """Remove a backup; returns bytes freed. Broken off, `clean` removes the rest."""
        backup_name.check(name)
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

    def _entry(self, name: str) -> StoredBackup:
        try:
            manifest = self.read_manifest(name)
            with os_errors_explained(self.path):
                manifests.check_sizes(manifest, partial(manifests.size_in, self.path / name))
            return StoredBackup(name, manifest, None)
        except (DamagedError, DestinationError) as error:
            return StoredBackup(name, None, error)

    def _has(self, name: str) -> bool:
        with os_errors_explained(self.path):
            return os.path.lexists(self.path / name / manifests.FILE)

    def _is_backup(self, name: str) -> bool:
        return self._has(name) or is_incomplete(name, self._found(name))

    def _found(self, name: str) -> list[str]:
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

    def _refuse_taken(self, name: str) -> None:
        if os.path.lexists(self.path / name):
            raise self._taken(name)

    def _taken(self, name: str) -> ConflictError:
        if os.path.lexists(self.path / name / manifests.FILE):
            return name_taken_error(name, self.where)
        return ConflictError(
            f"{self.path / name} is in the way, and it is no backup: it has no {manifests.FILE}.",
            "Choose another name, or move it away.",
        )

    def _complete(self, manifest: Manifest, staged: Path) -> None:
        manifests.write(manifest, staged)
        local_files.sync_tree(staged)
        try:
            rename_durably(staged, self.path / manifest.name)
        except OSError as error:
            if error.errno in _TAKEN:
                raise self._taken(manifest.name) from error
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
