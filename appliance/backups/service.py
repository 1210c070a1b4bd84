"""The backup service: what people and programs do, each action whole or not at all, and audited."""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.backups import audit, backup_status, retention
from appliance.backups.backup_errors import (
    BackupError,
    DestinationError,
    DiskSpaceError,
    KeyRefusedError,
)
from appliance.backups.backup_status import Verification
from appliance.backups.create import create_backup
from appliance.backups.destinations.catalog import Catalog, CatalogEntry
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.destinations.replicate import Replication
from appliance.backups.format import backup_name, encryption
from appliance.backups.format import manifest as manifests
from appliance.backups.format.encryption import Keyring
from appliance.backups.format.manifest import Manifest
from appliance.backups.restore import restore_online
from appliance.backups.restore.backup_reader import BackupReader
from appliance.backups.restore.restore_cluster import ClusterBuilder
from appliance.backups.restore.restore_online import OnlineRestore
from appliance.backups.server import databases
from appliance.errors import ApplianceError, DatabaseError
from appliance.postgres import config
from appliance.settings import Settings


@dataclass(frozen=True)
class PruneResult:
    """What pruning did; bytes of every place where they lay."""

    deleted_names: tuple[str, ...]
    retained_count: int
    bytes_freed: int


class BackupService:
    """The backups of one storage. `actor` is who acts, for the audit."""

    def __init__(
        self,
        settings: Settings,
        builder: ClusterBuilder,
        destinations: Sequence[Destination],
        keyring: Keyring,
        actor: str,
    ) -> None:
        self.catalog = Catalog(destinations)
        self._settings = settings
        self._builder = builder
        self._storage = builder.storage
        self._progress = builder.progress
        self._reader = BackupReader(self.catalog, keyring, self._storage.backups, self._progress)
        self._replication = Replication(destinations, self._storage, self._progress)
        self._actor = actor

    def create(self, name: str | None = None) -> CatalogEntry:
        """Make a backup and keep it in every destination.

        If only some of them took it, it stays there, and BackupError says which did not.
        """
        name = backup_name.generate(datetime.now(UTC)) if name is None else backup_name.check(name)
        with self._audited("create", name):
            self.catalog.refuse_taken(name)
            self._clean_up()
            staged, home = self._replication.stage(name)
            try:
                made = self._make(name, staged)
                self._replication.store_staged(made, staged, home)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            backup_status.record_backup(
                self._storage, _last_backup(made, self._destination_names())
            )
        return self.catalog.find(name)

    def complete(self, name: str) -> CatalogEntry:
        """Store a backup in the destinations that lack it, just as it is.

        If some of them still do not take it, BackupError says which.
        """
        with self._audited("complete", name):
            listed = self.catalog.find(name)
            made = listed.usable()
            with self._reader.files(listed) as folder:
                self._replication.store(made, folder, listed.destinations)
            backup_status.record_backup(
                self._storage, _last_backup(made, self._destination_names())
            )
        return self.catalog.find(name)

    def verify(self, name: str, action: str = "verify") -> Verification:
        """Restore a backup into a throwaway cluster and compare; returns the result, also recorded.

        Raises ApplianceError if it is not what its manifest says; that is recorded too.
        """
        started = time.monotonic()
        listed = self.catalog.find(name)
        with self._audited(action, name):
            try:
                tables = self._restore_aside(listed)
            except ApplianceError as error:
                if _is_about_the_backup(error, by_hand=action == "verify"):
                    verification = Verification.failed(name, str(error), time.monotonic() - started)
                    backup_status.record_verification(self._storage, verification)
                raise
            rows = sum(table.rows for table in tables)
            verification = Verification.passed(name, len(tables), rows, time.monotonic() - started)
            backup_status.record_verification(self._storage, verification)
        return verification

    def restore(self, name: str, *, force: bool) -> Manifest:
        """Put a backup in the place of what the running appliance has; see OnlineRestore."""
        listed = self.catalog.find(name)
        with (
            self._audited("restore", name),
            restore_online.noting_that_nothing_changed(),
            self._reader.open(listed) as source,
        ):
            OnlineRestore(
                self._settings,
                self._storage,
                source,
                jobs=self._builder.jobs,
                progress=self._progress,
                actor=self._actor,
            ).run(force=force)
        return source.manifest

    def delete(self, name: str) -> int:
        """Remove a backup from every destination; returns bytes freed."""
        listed = self.catalog.find(name, whole=True)
        with self._audited("delete", name):
            return self._remove([listed], self.catalog.all(whole=True))

    def prune(self, keep: int, made: CatalogEntry | None = None) -> PruneResult:
        """Remove all but the newest `keep`, everywhere; see `retention.to_prune`.

        With `made`, a backup of the schedule: only what the same cluster's schedule made, and not
        that one. Whoever else keeps backups there has a schedule of his own.
        """
        with self._audited("prune", None, keep=keep):
            listed = self.catalog.all(whole=True)
            to_delete = self._to_delete(listed, keep, made)
            freed = self._remove(to_delete, listed)
        gone = tuple(one.name for one in to_delete)
        return PruneResult(gone, len(listed) - len(gone), freed)

    def to_prune(self, keep: int) -> list[str]:
        """What `prune` would remove."""
        listed = self.catalog.all(whole=True)
        return [one.name for one in self._to_delete(listed, keep)]

    def _to_delete(
        self, listed: Sequence[CatalogEntry], keep: int, made: CatalogEntry | None = None
    ) -> list[CatalogEntry]:
        # What the last trial restore has refused counts as damaged.
        bad = backup_status.read(self._storage).unverifiable
        good = [one for one in listed if one.name != bad]
        if made is None:
            return retention.to_prune(good, keep, generated_only=False)
        ours = [one for one in good if one.system_identifier == made.system_identifier]
        return retention.to_prune(ours, keep, generated_only=True, spare=[made.name])

    def of_this_cluster(self) -> list[CatalogEntry]:
        """The backups of this cluster, the newest first; others may keep theirs there too."""
        run = self._storage.run
        with (
            databases.postgres_errors_explained(),
            closing(databases.connect_to(run, config.DATABASE)) as connection,
        ):
            own = databases.system_identifier(connection)
        return [one for one in self.catalog.all() if one.system_identifier == own]

    def _clean_up(self) -> None:
        """Remove what killed ones have left; with the lock nobody else writes in the storage."""
        FolderDestination("left", self._storage.backups).clean(older_than_s=0)
        for destination in self.catalog.destinations:
            # One that is away is told of when something is to be kept there.
            with suppress(BackupError):
                destination.clean()

    def _make(self, name: str, staged: Path) -> Manifest:
        asked = self._settings.backup_recipients
        recipients = encryption.check_recipients(asked) if asked else ()
        encryptor = encryption.make_encryptor(recipients, self._settings.backup_passphrase)
        jobs, progress = self._builder.jobs, self._progress
        return create_backup.create_backup(
            self._storage, staged, name, encryptor, jobs=jobs, progress=progress
        )

    def _destination_names(self) -> tuple[str, ...]:
        return tuple(destination.name for destination in self.catalog.destinations)

    def _remove(self, to_delete: Iterable[CatalogEntry], existing: Iterable[CatalogEntry]) -> int:
        left, freed = {one.name: one for one in existing}, 0
        for one in to_delete:
            freed += self.catalog.remove(one)
            left.pop(one.name, None)
            whole = (_last_backup(o.manifest, o.destinations) for o in left.values() if o.manifest)
            backup_status.record_removal(self._storage, one.name, next(whole, None))
        return freed

    def _restore_aside(self, listed: CatalogEntry) -> list[manifests.Table]:
        folder = self._storage.backups / ".staging-verify"
        shutil.rmtree(folder, ignore_errors=True)
        with self._reader.open(listed) as source:
            try:
                with self._builder.build(folder, source, None):
                    pass
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return [table for dump in source.manifest.databases for table in dump.tables]

    @contextmanager
    def _audited(self, action: str, name: str | None, **facts: int) -> Iterator[None]:
        with (
            audit.audited(self._storage, self._actor, action, name, **facts),
            databases.postgres_errors_explained(),
        ):
            yield


def _is_about_the_backup(error: ApplianceError, *, by_hand: bool) -> bool:
    """Not what could not be tried: for want of space, a destination, a server; a key, by hand."""
    untried = (DiskSpaceError, DestinationError, DatabaseError)
    return not isinstance(error, (*untried, KeyRefusedError) if by_hand else untried)


def _last_backup(made: Manifest, destinations: tuple[str, ...]) -> backup_status.LastBackup:
    return backup_status.LastBackup(made.name, made.created_at, made.size, destinations)
