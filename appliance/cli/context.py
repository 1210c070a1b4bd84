"""What most commands need: the settings, the storage and a connection."""

import psycopg

from appliance import settings as environment
from appliance.errors import DatabaseError
from appliance.postgres import config
from appliance.postgres.connect import Connection, connect, unreachable
from appliance.settings import Settings
from appliance.storage import Storage


def load() -> tuple[Settings, Storage]:
    """Read the environment; raises SettingsError that names every fault."""
    configured = environment.load().settings
    return configured, Storage(configured.storage_dir)


def open_connection(storage: Storage, role: str, *, database: str = config.DATABASE) -> Connection:
    """Connect as a role; raises DatabaseError in words if that is not possible."""
    if not storage.root.exists():
        raise DatabaseError(
            f"There is no storage at {storage.root}.",
            "Say where it is with STORAGE_DIR, or start the appliance first.",
        )
    try:
        return connect(storage, role, database=database, program="appliance")
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error
