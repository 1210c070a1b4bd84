"""What is known of the storage and of the database: `/ready`, `status` and `doctor` show it.

Each shows it in its own form, and none asks in a way of its own. A fact is looked up when it is
first wanted, and once: whoever wants another pays for no other, nor fails with it.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from appliance.backups import backup_status
from appliance.backups.backup_status import BackupStatus
from appliance.database.connect import Connection
from appliance.handoff import history
from appliance.handoff.history import Handoff
from appliance.migrations import schema_check
from appliance.migrations.schema_check import SchemaState
from appliance.migrations.tracks import Track
from appliance.storage import instances, lock
from appliance.storage.instances import Instance
from appliance.storage.lock import Owner
from appliance.storage.paths import Storage
from appliance.system.limits import DiskSpace

HANDOFFS_SHOWN = 5

_SERVER = """
    SELECT current_setting('server_version'), pg_database_size(current_database()),
        pg_postmaster_start_time(),
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


@dataclass(frozen=True)
class StorageFacts:
    """What the storage tells, without the database. Raises OSError for what cannot be read."""

    storage: Storage

    @cached_property
    def exists(self) -> bool:
        """Whether there is a storage at all."""
        return self.storage.root.exists()

    @cached_property
    def disk_space(self) -> DiskSpace:
        """The file system that it lies on."""
        return self.storage.disk_space()

    @cached_property
    def owner(self) -> Owner | None:
        """Who took the database last; None if nobody has yet."""
        return lock.read_owner(self.storage)

    @cached_property
    def is_owned(self) -> bool:
        """Whether somebody owns it now; to know, one must be allowed to read the lock."""
        return lock.is_owned(self.storage)

    @cached_property
    def standbys(self) -> tuple[Instance, ...]:
        """The containers that run and did not take it last, the one that started first before."""
        owner = self.owner.instance if self.owner else None
        return tuple(one for one in instances.living(self.storage) if one.instance != owner)

    @cached_property
    def backup(self) -> BackupStatus:
        """The last backup, what failed since, and what was verified."""
        return backup_status.read(self.storage)


@dataclass(frozen=True)
class Server:
    """Postgres itself. `connections` counts those of clients, the one that asks among them."""

    server_version: str
    size_bytes: int
    started_at: datetime
    connections: int


@dataclass(frozen=True)
class DatabaseFacts:
    """What the database tells over one connection. Raises psycopg.Error."""

    connection: Connection

    @cached_property
    def server(self) -> Server:
        """Its version, its size, how long it runs and who is connected."""
        row = self.connection.execute(_SERVER).fetchone()
        return Server(*(row or ()))

    @cached_property
    def handoffs(self) -> list[Handoff]:
        """The last ones, newest first; a schema that is behind may have no table for them."""
        return history.latest(self.connection, HANDOFFS_SHOWN)

    def schema(self, tracks: tuple[Track, ...]) -> SchemaState:
        """Where the tracks stand, as `load_tracks` returns them."""
        return schema_check.read_schema_state(self.connection, tracks)
