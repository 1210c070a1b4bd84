"""Every backup there is, whichever destinations keep it."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from appliance.backups.backup_errors import (
    BackupError,
    ConflictError,
    DamagedError,
    DestinationError,
    NotFoundError,
)
from appliance.backups.destinations.destination import Destination, StoredBackup
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import Manifest, damaged_error


@dataclass(frozen=True)
class CatalogEntry:
    """One backup: the names of the `destinations` that keep it, its `path` in the first of them.

    `manifest` is None if it cannot be used; `fault` says why. `copies_in` are the destinations
    that have a copy, even if it is damaged.
    """

    name: BackupName
    path: str
    destinations: tuple[str, ...]
    manifest: Manifest | None
    fault: BackupError | None
    copies_in: tuple[str, ...] = ()

    @property
    def created_at(self) -> str | None:
        """What time it holds the state of."""
        return self.manifest.created_at if self.manifest else None

    @property
    def system_identifier(self) -> str | None:
        """Which cluster it was made of."""
        return self.manifest.system_identifier if self.manifest else None

    def usable(self) -> Manifest:
        """Its manifest; raises its fault if it has none that can be used."""
        if self.manifest is None:
            raise self.fault or damaged_error(self.name, "its manifest cannot be read")
        return self.manifest


class Catalog:
    """The backups of some destinations, as they are now."""

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self._destinations = {destination.name: destination for destination in destinations}
        self.unreachable: list[DestinationError] = []

    @property
    def destinations(self) -> list[Destination]:
        """All of them, in the order of the settings."""
        return list(self._destinations.values())

    def all(self, *, ask_every: bool = False) -> list[CatalogEntry]:
        """Every backup, the newest first; damaged ones at the end.

        `unreachable` then says why one could not be asked. Raises DestinationError if that is
        so for all of them; with `ask_every`, for one.
        """
        copies: dict[BackupName, list[tuple[Destination, StoredBackup]]] = {}
        self.unreachable = []
        for destination in self.destinations:
            try:
                stored = destination.list_manifests()
            except DestinationError as error:
                self.unreachable.append(error)
                continue
            for copy in stored:
                copies.setdefault(copy.name, []).append((destination, copy))
        if self.unreachable and (ask_every or len(self.unreachable) == len(self.destinations)):
            raise self.unreachable[0]
        entries = [_catalog_entry(*item) for item in copies.items()]
        return sorted(entries, key=lambda one: (one.created_at or "", one.name), reverse=True)

    def find(self, name: BackupName, *, ask_every: bool = False) -> CatalogEntry:
        """One backup; raises NotFoundError."""
        for one in self.all(ask_every=ask_every):
            if one.name == name:
                return one
        if self.unreachable:
            raise self.unreachable[0]
        raise NotFoundError(
            f"There is no backup {name} in {', '.join(self._destinations)}.",
            "List the backups to see which there are.",
        )

    def kept_everywhere(self, manifest: Manifest) -> CatalogEntry:
        """The entry of a backup that was just stored in all of them."""
        stored = StoredBackup(manifest.name, manifest, None)
        return _catalog_entry(manifest.name, [(each, stored) for each in self.destinations])

    def destinations_of(self, entry: CatalogEntry) -> list[Destination]:
        """The destinations that keep a backup."""
        return [self._destinations[name] for name in entry.destinations]

    def remove(self, entry: CatalogEntry) -> int:
        """Remove a backup from all of them; returns bytes freed."""
        return sum(self._destinations[name].delete(entry.name) for name in entry.copies_in)

    def refuse_taken(self, name: BackupName) -> None:
        """Raise ConflictError if one of them has a backup of this name."""
        for destination in self.destinations:
            try:
                with suppress(DamagedError):
                    destination.read_manifest(name)
            except NotFoundError:
                continue
            except DestinationError:
                # It can still be kept in the others; whoever stores it there says what is wrong.
                if len(self.destinations) == 1:
                    raise
                continue
            raise ConflictError(
                f"There is a backup {name} in {destination.name} already.",
                "Choose another name, or delete it first.",
            )


def _catalog_entry(
    name: BackupName, copies: list[tuple[Destination, StoredBackup]]
) -> CatalogEntry:
    # A damaged copy must not hide a whole one.
    usable = [copy for copy in copies if copy[1].manifest is not None] or copies
    first, stored = usable[0]
    return CatalogEntry(
        name,
        f"{first.where.rstrip('/')}/{name}",
        tuple(destination.name for destination, _ in usable),
        stored.manifest,
        stored.fault,
        tuple(destination.name for destination, _ in copies),
    )
