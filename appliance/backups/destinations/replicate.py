"""Replicate a backup: created in one destination, copied to the rest."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.backups.backup_errors import BackupError, DestinationError
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.disk_space import DiskSpace
from appliance.backups.format.manifest import Manifest
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

    def stage(self, name: str) -> tuple[Path, FolderDestination | None]:
        """Make a folder in which a backup may come to be: in a destination that can take it.

        Raises the first one's BackupError if no destination can; why one of them cannot is
        otherwise in the error of `store`.
        """
        faults = []
        for destination in self._destinations:
            if isinstance(destination, FolderDestination):
                try:
                    return _stage(destination, name), destination
                except BackupError as error:
                    faults.append(error)
        if len(faults) == len(self._destinations):
            raise faults[0]
        staged = self._storage.backups / f".staging-{name}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o750)
        return staged, None

    def store_staged(self, made: Manifest, staged: Path, home: FolderDestination | None) -> None:
        """Store what was made where `stage` said in every destination; see `store`."""
        if home is None:
            self.store(made, staged, [])
        else:
            home.adopt(made, staged)
            self.store(made, home.folder_of(made.name), [home.name])

    def store(self, made: Manifest, folder: Path, kept_in: Iterable[str]) -> None:
        """Store it wherever it is not yet; DestinationError says where it still is not."""
        kept, faults = list(kept_in), []
        for destination in self._destinations:
            if destination.name in kept:
                continue
            self._progress.begin(f"storing in {destination.name}", made.size)
            try:
                destination.store(made, folder, self._progress.add)
                kept.append(destination.name)
            except BackupError as error:
                faults.append(f"not in {destination.name}: {error}")
        if faults:
            where = f"kept in {', '.join(kept)}, but " if kept else ""
            raise DestinationError(
                f"The backup {made.name} was made and {where}{'; '.join(faults)}",
                "Mend that, then make another backup.",
            )


def _stage(destination: FolderDestination, name: str) -> Path:
    staged = destination.stage(name)
    try:
        DiskSpace(staged).check()
    except BackupError:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return staged
