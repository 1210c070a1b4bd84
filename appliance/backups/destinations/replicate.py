"""Replicate a backup: created in one destination, copied to the rest."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from appliance.backups.backup_errors import BackupError, DestinationError
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import Manifest
from appliance.backups.format.staged_backup import StagedBackup
from appliance.errors import ApplianceError, DiskSpaceError
from appliance.postgres import disk_space
from appliance.storage.paths import Storage
from appliance.system.progress import Progress


class Replication:
    """Stores backups in `destinations`; what fits in none of them at first lies in the storage."""

    def __init__(
        self, destinations: Sequence[Destination], storage: Storage, progress: Progress
    ) -> None:
        self._destinations = destinations
        self._storage = storage
        self._progress = progress

    def clean_up(self) -> None:
        """Remove what killed ones have left. Call it while holding the lock on backups."""
        # With the lock nobody else writes in the storage.
        FolderDestination("left", self._storage.backups).clean(older_than_s=0)
        for destination in self._destinations:
            # One that is away is told of when something is to be kept there.
            with suppress(BackupError):
                destination.clean()

    def stage(self, name: BackupName) -> StagedBackup:
        """A backup in the making, in the first destination that can take it, for `commit`.

        Raises the first one's ApplianceError if no destination can; why one of them cannot is
        otherwise in the error of `store`.
        """
        faults: list[ApplianceError] = []
        for destination in self._destinations:
            if isinstance(destination, FolderDestination):
                try:
                    return _with_disk_space(destination.stage(name))
                except (BackupError, DiskSpaceError) as error:
                    faults.append(error)
        if len(faults) == len(self._destinations):
            raise faults[0]
        return StagedBackup(name, self._storage.backups / f".staging-{name}", None)

    def commit(self, staged: StagedBackup, manifest: Manifest) -> None:
        """Put it where it was staged, and store it in every other destination; see `store`."""
        folder = staged.commit(manifest)
        self.store(manifest, folder, staged.kept_in)

    def store(self, manifest: Manifest, folder: Path, kept_in: Iterable[str]) -> None:
        """Store it wherever it is not yet; DestinationError says where it still is not."""
        kept, faults = list(kept_in), []
        for destination in self._destinations:
            if destination.name in kept:
                continue
            self._progress.begin(f"storing in {destination.name}", manifest.size)
            try:
                destination.store(manifest, folder, self._progress.add)
                kept.append(destination.name)
            except BackupError as error:
                faults.append(f"not in {destination.name}: {error}")
        if faults:
            where = f"kept in {', '.join(kept)}, but " if kept else ""
            raise DestinationError(
                f"The backup {manifest.name} was made and {where}{'; '.join(faults)}",
                "Mend that, then make another backup.",
            )


def _with_disk_space(staged: StagedBackup) -> StagedBackup:
    try:
        disk_space.check_to_go_on(staged.folder)
    except DiskSpaceError:
        staged.discard()
        raise
    return staged
