"""What every destination can do, whatever it is made of."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.backups.backup_errors import BackupError, ConflictError, DamagedError, NotFoundError
from appliance.backups.format import manifest as manifests
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import STAGING, Manifest

# Told how many more bytes are done.
ReportBytes = Callable[[int], None]

DAY_S = 24 * 60 * 60.0
# Each backup has one of them.
_ROLES = frozenset({"roles.sql", "roles.sql.age"})


@dataclass(frozen=True)
class StoredBackup:
    """A backup in a list: its manifest, or why it cannot be used."""

    name: BackupName
    manifest: Manifest | None
    fault: BackupError | None


class Destination(Protocol):
    """A place that keeps backups. One without its manifest can be listed and deleted only.

    `name` is the user's, `where` is for people: a path or s3://bucket/prefix, never a secret. Every
    method raises DestinationError if the place cannot be reached or used; nothing was changed then,
    unless it says so. One writer at a time for one name.
    """

    name: str
    where: str

    def list_manifests(self) -> list[StoredBackup]:
        """All backups here by name, damaged ones too; what is no backup is left out."""

    def read_manifest(self, name: BackupName) -> Manifest:
        """The manifest of one backup; raises NotFoundError, DamagedError if it has none."""

    def store(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy the backup's files from `folder` to here, checked, and its manifest last.

        Broken off, it leaves nothing that claims to be a backup, and may be called again. Raises
        ConflictError if a backup of that name is here, DamagedError if `folder` does not hold what
        the manifest says.
        """

    def fetch(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy the backup's files from here to `folder`, which exists and is empty, checked.

        Raises DamagedError that names the first file that differs; no file is left half.
        """

    def folder_of(self, name: BackupName) -> Path | None:
        """Where the backup lies if that is a folder, so that nobody needs to fetch it."""

    def delete(self, name: BackupName) -> int:
        """Remove a backup, its manifest first; returns bytes freed. Raises NotFoundError."""

    def clean(self, older_than_s: float = DAY_S) -> None:
        """Remove what interrupted stores and deletes left, if nothing in it is younger.

        Whoever knows that nobody else writes here may say 0.
        """


def check_name_matches(manifest: Manifest, name: str, where: str) -> Manifest:
    """Return the manifest if it is that of `name`; raises DamagedError."""
    if manifest.name == name:
        return manifest
    raise DamagedError(
        f"{where}/{name} holds the backup {manifest.name}.",
        f"Rename the folder back to {manifest.name}; in a bucket, move its objects back to there.",
    )


def is_incomplete(name: BackupName, entries: Collection[str]) -> bool:
    """Whether a folder without a manifest was a backup, or is to become one by somebody's hand.

    `entries` are the names in it. What is somebody else's is not, nor what `clean` removes.
    """
    ours = name.is_generated or not _ROLES.isdisjoint(entries)
    return bool(entries) and STAGING not in entries and ours


def missing_error(name: BackupName, where: str, entries: Collection[str]) -> BackupError:
    """The error for a backup without a manifest, by the names that are in its folder."""
    if is_incomplete(name, entries):
        return manifests.damaged_error(
            name, f"it has no {manifests.FILE}, so it is not a whole backup"
        )
    return not_found_error(name, where)


def not_found_error(name: str, where: str) -> NotFoundError:
    """The error for a backup that is not there."""
    return NotFoundError(
        f"There is no backup {name} in {where}.", "List the backups to see which there are."
    )


def name_taken_error(name: str, where: str) -> ConflictError:
    """The error for a name that is taken."""
    return ConflictError(
        f"There is a backup {name} in {where} already; it was left as it is.",
        "Choose another name, or delete that backup first.",
    )
