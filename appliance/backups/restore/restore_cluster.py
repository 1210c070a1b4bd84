"""Restore a whole cluster: built beside its place, compared, then swapped."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.apps.contract import App
from appliance.backups.backup_errors import NotFoundError
from appliance.backups.format.manifest import DatabaseDump
from appliance.backups.restore import load
from appliance.backups.restore.load import Loader, Source
from appliance.backups.server import databases, server_checksums, temporary_server
from appliance.postgres import cluster, config, disk_space
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from appliance.system import clock, notes
from appliance.system.files import fsync_directory, rename_durably
from appliance.system.limits import MEBIBYTE, ResourceLimits
from appliance.system.progress import Progress
from appliance.system.system_users import SystemUsers

# An empty cluster, and the log that a load writes.
_CLUSTER_BYTES = 256 * MEBIBYTE


@dataclass(frozen=True)
class ClusterBuilder:
    """Where and as whom clusters are made, and for which app. `jobs` processes load at once."""

    storage: Storage
    users: SystemUsers
    app: App
    resources: ResourceLimits
    jobs: int
    progress: Progress

    @contextmanager
    def build(
        self, folder: Path, source: Source, lock_descriptor: int | None, only: str | None = None
    ) -> Iterator[Path]:
        """Make a cluster from a backup in `folder`; yields the folder of its running socket.

        Everything in it was compared with the manifest. After the block it is stopped and on the
        disk. Raises ApplianceError, and then leaves nothing in `folder`.
        """
        dumps = load.select_databases(source.manifest, only)
        self.check_room(folder.parent, dumps)
        try:
            where = (folder, self.storage, self.users, self.resources, lock_descriptor)
            # All of it is written to the disk at the end.
            cluster.initialise(*where, "--no-sync")
            user, options = self.users.database, temporary_server.LOADING_OPTIONS
            with temporary_server.run_postgres(folder, options, user, lock_descriptor) as server:
                self._load(server, source, dumps)
                yield server
            temporary_server.sync(folder, user)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def check_room(self, folder: Path, dumps: Iterable[DatabaseDump]) -> None:
        """Raise DiskSpaceError if there is too little room for a cluster with these databases."""
        disk_space.check_to_go_on(folder, _CLUSTER_BYTES + sum(dump.size_bytes for dump in dumps))

    def check_database(self, server: Path, database: str) -> None:
        """The app's own check of its data, if this is its database; raises DamagedError."""
        if database == config.DATABASE:
            with closing(databases.connect_to(server, database)) as connection:
                load.check_app(connection, self.app)

    def _load(self, server: Path, source: Source, dumps: list[DatabaseDump]) -> None:
        loader = Loader(server, source, private=True, jobs=self.jobs, progress=self.progress)
        self.progress.begin("loading", sum(t.bytes for dump in dumps for t in dump.tables))
        with closing(databases.connect_to(server, databases.MAINTENANCE)) as connection:
            connection.execute("DROP DATABASE postgres")
        loader.roles()
        for dump in dumps:
            loader.database(dump, dump.name)
        self.progress.begin("comparing", sum(t.bytes for dump in dumps for t in dump.tables))
        for dump in dumps:
            loader.compare(dump, dump.name)
            self.check_database(server, dump.name)
        self._complete(server)

    def _complete(self, server: Path) -> None:
        # Restored alone, another database leaves this one out; programs connect to it.
        with closing(databases.connect_to(server, databases.MAINTENANCE)) as connection:
            if "postgres" not in databases.list_names(connection):
                connection.execute("CREATE DATABASE postgres")


def begin_restore(storage: Storage) -> None:
    """Nobody may start the cluster from now on. Call it while holding the ownership lock."""
    notes.write(storage.restoring, {"since": clock.timestamp()})
    if storage.pgdata_replaced.exists() and not storage.pgdata.exists():
        # The new one did not get its place.
        rename_durably(storage.pgdata_replaced, storage.pgdata)
    for leftover in (storage.pgdata_new, storage.pgdata_replaced):
        shutil.rmtree(leftover, ignore_errors=True)


def swap_clusters(storage: Storage) -> None:
    """Put the new cluster into its place. Killed anywhere, the restore can be run again."""
    if storage.pgdata.exists():
        rename_durably(storage.pgdata, storage.pgdata_replaced)
    rename_durably(storage.pgdata_new, storage.pgdata)


def end_restore(storage: Storage) -> None:
    """The cluster may be started."""
    storage.restoring.unlink(missing_ok=True)
    fsync_directory(storage.run)
    copy_detection.end_of_restore(storage)
    shutil.rmtree(storage.pgdata_replaced, ignore_errors=True)


def recover(builder: ClusterBuilder, lock_descriptor: int, only: str | None) -> list[str]:
    """Start a cluster that was copied while it stood still, read all of it, and stop it again.

    `only` names a database to keep alone; returns the names of those that were dropped. Raises
    ApplianceError if anything in it cannot be read; it may be run again.
    """
    storage, user = builder.storage, builder.users.database
    cluster.check(storage, user)
    cluster.write_configuration(storage.pgdata, storage, builder.users, builder.resources)
    with temporary_server.run_postgres(storage.pgdata, {}, user, lock_descriptor) as server:
        dropped = [] if only is None else _keep_only(server, only)
        for name in _open_databases(server):
            # Reads every page of every table, and with it every page's checksum.
            server_checksums.read_database(server, name, builder.jobs)
            builder.check_database(server, name)
    return dropped


def _keep_only(server: Path, name: str) -> list[str]:
    """Drop every other database of a cluster, and return their names.

    Raises NotFoundError if there is no such one.
    """
    with closing(databases.connect_to(server, databases.MAINTENANCE)) as connection:
        existing = databases.list_names(connection)
        if name not in existing:
            raise NotFoundError(
                f"The cluster has no database {name}; it has {', '.join(existing)}.",
                "Name one of these with RESTORE_DB, or unset it.",
            )
        others = [other for other in existing if other not in (name, "postgres")]
        for other in others:
            databases.drop(connection, other)
    return others


def _open_databases(server: Path) -> list[str]:
    with closing(databases.connect_to(server, databases.MAINTENANCE)) as connection:
        closed = databases.list_closed(connection)
        return [name for name in databases.list_names(connection) if name not in closed]
