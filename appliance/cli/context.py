"""What most commands need: the settings, the storage and a connection."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import errors

from appliance import settings as environment
from appliance.database.connect import Connection, connect, reason, unreachable
from appliance.errors import ApplianceError, DatabaseError, SchemaError
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.log import show_debug
from appliance.system.system_users import SystemUsers

_NOT_MIGRATED = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)


def load() -> tuple[Settings, Storage]:
    """Read the environment; raises SettingsError that names every fault."""
    configured = environment.load().settings
    if configured.log_level == "debug":
        # On standard output are answers.
        show_debug(2)
    return configured, Storage(configured.storage_dir)


def require_storage(storage: Storage) -> None:
    """Raise DatabaseError if there is no storage."""
    if not storage.root.exists():
        raise DatabaseError(
            f"There is no storage at {storage.root}.",
            "Say where it is with STORAGE_DIR, or start the appliance first.",
        )


def run_as_database_user(storage: Storage) -> SystemUsers:
    """Go on as the user that owns backups and the cluster; returns who is who on this machine."""
    users = system_users.detect()
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__), storage.root]
    system_users.drop_privileges(users.database, *needed)
    return users


@contextmanager
def connected(
    storage: Storage, role: str, *, database: str = config.DATABASE
) -> Iterator[Connection]:
    """A connection as a role; whatever the database says against it is said in words."""
    require_storage(storage)
    try:
        with connect(storage, role, database=database) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error
    except _NOT_MIGRATED as error:
        raise SchemaError(
            f"The database lacks what this command needs: {reason(error)}.",
            "Bring it up to date: appliance migrate",
        ) from error
    except psycopg.Error as error:
        raise ApplianceError(f"The database refuses: {reason(error)}.") from error
