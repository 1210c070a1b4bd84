"""The agent's tasks that need the database. Each runs in a child of it, and is gone with it."""

from appliance.agent import maintenance
from appliance.apps import registry
from appliance.errors import ApplianceError
from appliance.handoff import request_database
from appliance.handoff.channel import Channel
from appliance.settings import Settings
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system.log import write_line

PROGRAM = "agent"


def join(settings: Settings, own_agent: Channel) -> None:
    """Migrate, then get the database if another container has it.

    Raises what the migration raises. With SKIP_SCHEMA_CHECK=true it goes on nevertheless:
    somebody wants to look at the database, or to adopt what is there.
    """
    storage, instance = Storage(settings.storage_dir), settings.appliance_instance or ""
    _migrate(settings, storage)
    directory = InstanceDirectory(storage, instance)
    taken = request_database.request_database(storage, directory, own_agent)
    if taken is not None:
        maintenance.record(storage, instance, taken)


def prune(settings: Settings) -> None:
    """Throw away what is too old to matter."""
    try:
        maintenance.prune(Storage(settings.storage_dir))
    except ApplianceError as error:
        write_line(PROGRAM, f"pruning is put off for an hour: {error}")


def _migrate(settings: Settings, storage: Storage) -> None:
    try:
        app = registry.load(settings.app)
        maintenance.migrate_at_start(settings, storage, app)
    except ApplianceError as error:
        if not settings.skip_schema_check:
            raise
        write_line(PROGRAM, str(error))
        write_line(PROGRAM, "SKIP_SCHEMA_CHECK=true: it serves although the migrations failed")
