"""The backup service: what people and programs do, each action whole or not at all, and audited."""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.apps.contract import App
from appliance.backups import audit, backup_status, retention
from appliance.backups.backup_errors import DestinationError, KeyRefusedError
from appliance.backups.backup_status import Verification
from appliance.backups.create.create_backup import create_backup
from appliance.backups.destinations import from_settings
from appliance.backups.destinations.catalog import Catalog, CatalogEntry
from appliance.backups.destinations.replicate import Replication
from appliance.backups.format import encryption
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.encryption import Encryptor, Keyring
from appliance.backups.format.manifest import Manifest, Table
from appliance.backups.restore import restore_online
from appliance.backups.restore.backup_reader import BackupReader
from appliance.backups.restore.restore_cluster import ClusterBuilder
from appliance.backups.restore.restore_online import OnlineRestore
from appliance.backups.server import databases, pg_tools
from appliance.errors import ApplianceError, DatabaseError, DiskSpaceError
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import clock
from appliance.system.limits import detect
from appliance.system.progress import Progress, Report
from appliance.system.system_users import SystemUsers


@dataclass(frozen=True)
class PruneResult:
    """What pruning did; bytes of every place where they lay."""

    deleted_names: tuple[str, ...]
    retained_count: int
    bytes_freed: int


class BackupService:
    """The backups of one storage, with the data of an app. `actor` is who acts, for the audit."""

    def __init__(
        self,
        settings: Settings,
        builder: ClusterBuilder,
        catalog: Catalog,
        keyring: Keyring,
        actor: str,
    ) -> None:
        self.app = builder.app
        self.catalog = catalog
        self._settings = settings
        self._builder = builder
        self._storage = builder.storage
        self._progress = builder.progress
        self._reader = BackupReader(catalog, keyring, self._storage.backups, self._progress)
        self._replication = Replication(catalog.destinations, self._storage, self._progress)
        self._actor = actor

    def create(self, name: BackupName | None = None) -> CatalogEntry:
        """Make a backup and keep it in every destination.

        If only some of them took it, it stays there, and BackupError says which did not.
        """
        name = name or BackupName.generate(clock.utc_now())
        with self._audited("create", name):
            self.catalog.refuse_taken(name)
            self._replication.clean_up()
            with self._replication.stage(name) as staged:
                manifest = create_backup(
                    self._storage,
                    staged,
                    self._encryptor(),
                    jobs=self._builder.jobs,
                    progress=self._progress,
                )
                self._replication.commit(staged, manifest)
            return self._record_backup(manifest)

    def complete(self, name: BackupName) -> CatalogEntry:
        """Store a backup in the destinations that lack it, just as it is.

        If some of them still do not take it, BackupError says which.
        """
        with self._audited("complete", name):
            entry = self.catalog.find(name)
            manifest = entry.usable()
            with self._reader.files(entry) as folder:
                self._replication.store(manifest, folder, entry.destinations)
            return self._record_backup(manifest)

    def verify(self, name: BackupName, action: str = "verify") -> Verification:
        """Restore a backup into a throwaway cluster and compare; returns the result, also recorded.

        Raises ApplianceError if it is not what its manifest says; that is recorded too.
        """
        started = time.monotonic()
        entry = self.catalog.find(name)
        with self._audited(action, name):
            try:
                tables = self._restore_aside(entry)
            except ApplianceError as error:
                if _is_about_the_backup(error, by_hand=action == "verify"):
                    verification = Verification.failed(name, str(error), time.monotonic() - started)
                    backup_status.record_verification(self._storage, verification)
                raise
            rows = sum(table.rows for table in tables)
            verification = Verification.passed(name, len(tables), rows, time.monotonic() - started)
            backup_status.record_verification(self._storage, verification)
        return verification

    def restore(self, name: BackupName, *, force: bool) -> Manifest:
        """Put a backup in the place of what the running appliance has; see OnlineRestore."""
        entry = self.catalog.find(name)
        with (
            self._audited("restore", name),
            restore_online.noting_that_nothing_changed(),
            self._reader.open(entry) as source,
        ):
            OnlineRestore(self._settings, self._builder, source, actor=self._actor).run(force=force)
        return source.manifest

    def delete(self, name: BackupName) -> int:
        """Remove a backup from every destination; returns bytes freed."""
        entry = self.catalog.find(name, ask_every=True)
        with self._audited("delete", name):
            return self._remove([entry], self.catalog.all(ask_every=True))

    def prune(self, keep: int, scheduled: CatalogEntry | None = None) -> PruneResult:
        """Remove all but the newest `keep`, everywhere; see `retention.to_prune`.

        `scheduled` is the backup that the schedule has just made: then only what the same cluster's
        schedule made goes, and not that one. Whoever else keeps backups there has a schedule of
        their own.
        """
        with self._audited("prune", None, keep=keep):
            entries = self.catalog.all(ask_every=True)
            to_delete = self._to_delete(entries, keep, scheduled)
            freed = self._remove(to_delete, entries)
        deleted = tuple(one.name for one in to_delete)
        return PruneResult(deleted, len(entries) - len(deleted), freed)

    def to_prune(self, keep: int) -> list[str]:
        """What `prune` would remove."""
        entries = self.catalog.all(ask_every=True)
        return [one.name for one in self._to_delete(entries, keep)]

    def _to_delete(
        self, entries: Sequence[CatalogEntry], keep: int, scheduled: CatalogEntry | None = None
    ) -> list[CatalogEntry]:
        # What the last trial restore has refused counts as damaged.
        bad = backup_status.read(self._storage).unverifiable
        good = [one for one in entries if one.name != bad]
        if scheduled is None:
            return retention.to_prune(good, keep, generated_only=False)
        ours = [one for one in good if one.system_identifier == scheduled.system_identifier]
        return retention.to_prune(ours, keep, generated_only=True, spare=[scheduled.name])

    def of_this_cluster(self) -> list[CatalogEntry]:
        """The backups of this cluster, the newest first; others may keep theirs there too."""
        run = self._storage.run
        with (
            databases.postgres_errors_explained(),
            closing(databases.connect_to(run, config.DATABASE)) as connection,
        ):
            own = databases.system_identifier(connection)
        return [one for one in self.catalog.all() if one.system_identifier == own]

    def _encryptor(self) -> Encryptor | None:
        given = self._settings.backup_recipients
        recipients = encryption.check_recipients(given) if given else ()
        return encryption.make_encryptor(recipients, self._settings.backup_passphrase)

    def _record_backup(self, manifest: Manifest) -> CatalogEntry:
        entry = self.catalog.kept_everywhere(manifest)
        backup_status.record_backup(self._storage, _last_backup(manifest, entry.destinations))
        return entry

    def _remove(self, to_delete: Iterable[CatalogEntry], existing: Iterable[CatalogEntry]) -> int:
        left, freed = {one.name: one for one in existing}, 0
        for entry in to_delete:
            freed += self.catalog.remove(entry)
            left.pop(entry.name, None)
            usable = (_last_backup(o.manifest, o.destinations) for o in left.values() if o.manifest)
            backup_status.record_removal(self._storage, entry.name, next(usable, None))
        return freed

    def _restore_aside(self, entry: CatalogEntry) -> list[Table]:
        folder = self._storage.backups / ".staging-verify"
        shutil.rmtree(folder, ignore_errors=True)
        with self._reader.open(entry) as source:
            try:
                with self._builder.build(folder, source, None):
                    pass
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return [table for dump in source.manifest.databases for table in dump.tables]

    @contextmanager
    def _audited(self, action: str, name: BackupName | None, **facts: int) -> Iterator[None]:
        with (
            audit.audited(self._storage, self._actor, action, name, **facts),
            databases.postgres_errors_explained(),
        ):
            yield


def build_service(
    settings: Settings,
    storage: Storage,
    users: SystemUsers,
    app: App,
    *,
    actor: str,
    report: Report,
    destinations: Sequence[str] = (),
    folder: Path | None = None,
    identities: Sequence[str] = (),
    passphrase: str | None = None,
) -> BackupService:
    """The service for a storage with all its destinations, the named ones, or one folder.

    `identities` are texts of key files, besides BACKUP_IDENTITY; `passphrase` opens backups instead
    of BACKUP_PASSPHRASE. Raises SettingsError or BadRequestError.
    """
    pg_tools.prepare_environment()
    resources = detect(settings.num_cpus)
    builder = ClusterBuilder(
        storage, users, app, resources, pg_tools.job_count(resources), Progress(report)
    )
    keys = [*identities, *([settings.backup_identity] if settings.backup_identity else [])]
    keyring = Keyring(keys, passphrase or settings.backup_passphrase)
    catalog = Catalog(from_settings.select(settings, storage, destinations, folder))
    return BackupService(settings, builder, catalog, keyring, actor)


def _is_about_the_backup(error: ApplianceError, *, by_hand: bool) -> bool:
    """Not what could not be tried: for want of space, a destination, a server; a key, by hand."""
    untried = (DiskSpaceError, DestinationError, DatabaseError)
    return not isinstance(error, (*untried, KeyRefusedError) if by_hand else untried)


def _last_backup(manifest: Manifest, destinations: tuple[str, ...]) -> backup_status.LastBackup:
    return backup_status.LastBackup(manifest.name, manifest.created_at, manifest.size, destinations)
