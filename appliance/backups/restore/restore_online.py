"""Restoring into a running appliance: load into new databases, compare, swap by renaming.

The swap is one transaction. Postgres holds the lock on a database's name until it is over, so who
connects meanwhile waits, and then finds the other one; requests are held as in a handoff.
"""

import secrets
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from appliance.backups.backup_errors import BackupError, ConflictError
from appliance.backups.format.manifest import DatabaseDump
from appliance.backups.restore import load
from appliance.backups.restore.load import Loader, Source
from appliance.backups.restore.restore_cluster import ClusterBuilder
from appliance.backups.server import databases
from appliance.database import application_names
from appliance.database.connect import Connection, connect_in
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config, disk_space
from appliance.settings import Settings

_TERMINATE_EVERY_S = 0.01
# After a crash in the middle of the swap.
_BACK_LIMIT_S = 20.0
_LOOK_EVERY_S = 0.1
_ALL_DATABASES = "SELECT datname FROM pg_database"
# What people made: of our own tables that is the keys only; a catalog has the large objects.
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('appliance', 'pg_catalog', 'information_schema')
            AND n.nspname NOT LIKE 'pg\\_%'
        OR n.nspname = 'appliance' AND c.relname = 'api_keys'
        OR n.nspname = 'pg_catalog' AND c.relname = 'pg_largeobject_metadata'
"""
_TERMINATE_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = ANY(%s) AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True)
class _Pair:
    """A database's own name, and the temporary name of its replacement."""

    dump: DatabaseDump
    temporary_name: str

    @property
    def replaced_name(self) -> str:
        """What the old one is called after the swap, until it is removed."""
        return f"{self.temporary_name}_old"


class OnlineRestore:
    """Restores a backup into the Postgres of a storage, whichever container runs it."""

    def __init__(
        self, settings: Settings, builder: ClusterBuilder, source: Source, *, actor: str
    ) -> None:
        self._settings = settings
        self._storage = builder.storage
        self._app = builder.app
        self._source = source
        self._actor = actor
        self._progress = builder.progress
        server, jobs, progress = builder.storage.run, builder.jobs, builder.progress
        self._loader = Loader(server, source, private=False, jobs=jobs, progress=progress)

    def run(self, *, force: bool) -> None:
        """Replace every database of the backup; others stay.

        Raises ConflictError if there is data and `force` is false, DamagedError if what was loaded
        is not what the manifest says; nothing was changed then. Roles that are missing are made.
        From the swap on nothing interrupts it, nor what this process does after it.
        """
        pairs = self._pairs()
        with self._connection() as connection:
            databases.drop_temporary(connection)
            if not force:
                self._refuse_data(connection, pairs)
        needed = sum(pair.dump.size_bytes for pair in pairs)
        disk_space.check_to_go_on(self._storage.root, needed)
        try:
            self._load(pairs)
            with self._connection() as connection:
                self._swap(connection, pairs)
        finally:
            # If it cannot be done now, the next backup or restore does it. What came of this one
            # does not hang on it.
            with suppress(psycopg.Error), self._connection() as connection:
                databases.drop_temporary(connection)

    def _connection(self) -> AbstractContextManager[Connection]:
        return closing(databases.connect_to(self._storage.run, databases.MAINTENANCE))

    def _pairs(self) -> list[_Pair]:
        mark = f"{databases.TEMPORARY_PREFIX}{secrets.token_hex(4)}"
        # Every cluster has a database postgres; most leave it empty.
        wanted = [d for d in self._source.manifest.databases if d.tables or d.name != "postgres"]
        return [_Pair(dump, f"{mark}_{number}") for number, dump in enumerate(wanted)]

    def _refuse_data(self, connection: Connection, pairs: Iterable[_Pair]) -> None:
        existing = set(databases.list_names(connection))
        full = [
            p.dump.name for p in pairs if p.dump.name in existing and self._has_data(p.dump.name)
        ]
        if full:
            raise ConflictError(
                f"There is data in {', '.join(full)}; a restore replaces all of it.",
                'Make a backup of it first, then restore with force (--force; "force": true).',
            )

    def _has_data(self, database: str) -> bool:
        with closing(databases.connect_to(self._storage.run, database)) as connection:
            tables = [row[0] for row in connection.execute(_TABLES)]
            queries = [f"SELECT EXISTS (SELECT FROM {table})".encode() for table in tables]  # noqa: S608 - names from the catalog, quoted there
            return any(connection.execute(query).fetchone() == (True,) for query in queries)

    def _load(self, pairs: list[_Pair]) -> None:
        content = sum(table.bytes for pair in pairs for table in pair.dump.tables)
        self._progress.begin("loading", content)
        self._loader.roles()
        for pair in pairs:
            self._loader.database(pair.dump, pair.temporary_name)
        self._progress.begin("comparing", content)
        for pair in pairs:
            self._loader.compare(pair.dump, pair.temporary_name)
            if pair.dump.name == config.DATABASE:
                self._complete(pair.temporary_name)

    def _complete(self, temporary_name: str) -> None:
        """Check it, and bring it up to date before any request sees it."""
        with closing(databases.connect_to(self._storage.run, temporary_name)) as superuser:
            load.check_app(superuser, self._app)
        where, role = self._storage.run, config.OWNER_ROLE
        with closing(connect_in(where, role, temporary_name, application_names.BACKUP)) as owner:
            runner.migrate(
                owner,
                load_tracks(self._app.tracks(), self._settings.client_migrations_dir),
                timeout_s=self._settings.migration_timeout,
                report=lambda _: None,
            )

    def _log_text(self) -> str:
        manifest = self._source.manifest
        return (
            f"the data was replaced by the backup {manifest.name} of {manifest.created_at}, "
            f"for {self._actor}"
        )

    def _swap(self, connection: Connection, pairs: list[_Pair]) -> None:
        self._progress.begin("swapping", 0)
        existing = {row[0] for row in connection.execute(_ALL_DATABASES)}
        involved = [pair.dump.name for pair in pairs] + [pair.temporary_name for pair in pairs]
        _ignore_interrupts()
        with _terminating_sessions(self._storage.run, involved):
            try:
                with connection.transaction():
                    for pair in pairs:
                        if pair.dump.name in existing:
                            _rename(connection, pair.dump.name, pair.replaced_name)
                        _rename(connection, pair.temporary_name, pair.dump.name)
                    databases.write_log(connection, self._log_text())
            except psycopg.Error as error:
                if not self._is_swapped(pairs):
                    raise BackupError(
                        f"The databases could not be swapped: {error}".strip(),
                        "Nothing was changed.",
                    ) from error

    def _is_swapped(self, pairs: list[_Pair]) -> bool:
        """Whether the swap was committed, though the answer was lost."""
        deadline = time.monotonic() + _BACK_LIMIT_S
        while True:
            try:
                with self._connection() as connection:
                    found = connection.execute(_ALL_DATABASES)
                    return not {pair.temporary_name for pair in pairs} & {row[0] for row in found}
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise BackupError(
                        "The connection was lost in the swap, and Postgres is not back: nobody "
                        "can say yet whether the data was replaced.",
                        "Look at the data, or at what the log says, before you try again.",
                    ) from error
                time.sleep(_LOOK_EVERY_S)


@contextmanager
def noting_that_nothing_changed() -> Iterator[None]:
    """Say so to whoever breaks off the block, which is a restore with all that precedes it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note("Nothing was changed.")
        raise


def _ignore_interrupts() -> None:
    """Whoever breaks it off is heard before or not at all: what is done is also told."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _terminating_sessions:  # noqa: N801 - used as a function
    """Ends every session of some databases, again and again, while the block runs."""

    def __init__(self, socket_folder: Path, names: list[str]) -> None:
        self._where = socket_folder
        self._names = names
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._connection = databases.connect_to(self._where, databases.MAINTENANCE)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._over.wait(_TERMINATE_EVERY_S):
            try:
                self._connection.execute(_TERMINATE_SESSIONS, (self._names,))
            except psycopg.Error:
                # The renaming says what is wrong.
                return


def _rename(connection: Connection, old: str, new: str) -> None:
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
    )
