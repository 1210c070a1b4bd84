"""A whole cluster made from a backup: beside its place, compared, then swapped."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.backups import databases, load, private_server
from appliance.backups.errors import NotFoundError
from appliance.backups.load import Loader, Source
from appliance.backups.manifest import DatabaseDump
from appliance.backups.progress import Progress
from appliance.backups.room import Room
from appliance.files import fsync_directory, rename_durably, write_json
from appliance.identities import Identities
from appliance.postgres import cluster, config, hook_window, ownership
from appliance.resources import MEBIBYTE, Resources
from appliance.storage import Storage

_FORMAT = 1
# An empty cluster, and the log that a load writes.
_CLUSTER_BYTES = 256 * MEBIBYTE


@dataclass(frozen=True)
class Builder:
    """Where and as whom clusters are made. `jobs` processes load at once."""

    storage: Storage
    identities: Identities
    resources: Resources
    jobs: int
    progress: Progress

    @contextmanager
    def cluster(
        self, folder: Path, source: Source, lock_descriptor: int | None, only: str | None = None
    ) -> Iterator[Path]:
        """Make a cluster from a backup in `folder`; yields the folder of its running socket.

        Everything in it was compared with the manifest. After the block it is stopped and on the
        disk. Raises ApplianceError, and then leaves nothing in `folder`.
        """
        dumps = load.selected(source.manifest, only)
        self.check_room(folder.parent, dumps)
        try:
            where = (folder, self.storage, self.identities, self.resources, lock_descriptor)
            # All of it is written to the disk at the end.
            cluster.initialise(*where, "--no-sync")
            user, options = self.identities.database, private_server.LOADING
            with private_server.serving(folder, options, user, lock_descriptor) as server:
                self._load(server, source, dumps)
                yield server
            private_server.sync(folder, user)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def check_room(self, folder: Path, dumps: Iterable[DatabaseDump]) -> None:
        """Raise BackupError if there is too little room for a cluster with these databases."""
        Room(folder).check(_CLUSTER_BYTES + sum(dump.size_bytes for dump in dumps))

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
            check_app(server, dump.name)
        self._complete(server)

    def _complete(self, server: Path) -> None:
        # Restored alone, another database leaves this one out; programs connect to it.
        with closing(databases.connect_to(server, databases.MAINTENANCE)) as connection:
            if "postgres" not in databases.names(connection):
                connection.execute("CREATE DATABASE postgres")


def check_app(server: Path, database: str) -> None:
    """The app's own checks on one database; raises DamagedError."""
    if database == config.DATABASE:
        with closing(databases.connect_to(server, database)) as connection:
            load.check_books(connection)


def begin(storage: Storage) -> None:
    """Nobody may start the cluster from now on. Call it while holding the ownership lock."""
    write_json(storage.restoring, {"format": _FORMAT, "since": ownership.now()})
    if storage.pgdata_replaced.exists() and not storage.pgdata.exists():
        # Its successor did not get its place.
        rename_durably(storage.pgdata_replaced, storage.pgdata)
    for leftover in (storage.pgdata_new, storage.pgdata_replaced):
        shutil.rmtree(leftover, ignore_errors=True)


def swap(storage: Storage) -> None:
    """Put the new cluster into its place. Killed anywhere, the restore can be run again."""
    if storage.pgdata.exists():
        rename_durably(storage.pgdata, storage.pgdata_replaced)
    rename_durably(storage.pgdata_new, storage.pgdata)


def end(storage: Storage) -> None:
    """The cluster may be started."""
    storage.restoring.unlink(missing_ok=True)
    fsync_directory(storage.run)
    hook_window.end_of_restore(storage)
    shutil.rmtree(storage.pgdata_replaced, ignore_errors=True)


def keep_only(server: Path, name: str) -> list[str]:
    """Drop every other database of a cluster, and return their names.

    Raises NotFoundError if there is no such one.
    """
    with closing(databases.connect_to(server, databases.MAINTENANCE)) as connection:
        there = databases.names(connection)
        if name not in there:
            raise NotFoundError(
                f"The cluster has no database {name}; it has {', '.join(there)}.",
                "Name one of these with RESTORE_DB, or unset it.",
            )
        others = [other for other in there if other not in (name, "postgres")]
        for other in others:
            databases.drop(connection, other)
    return others
