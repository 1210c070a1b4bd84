"""The run modes: everything, the API alone, the migrations alone."""

import os
import secrets
import sys
from dataclasses import replace

import click

from appliance import settings as environment
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.log import show_debug, use_format, write_line


@click.command()
def up() -> int:
    """Run Postgres and the API, until SIGTERM or Ctrl-C."""
    from appliance.settings import generated_secrets
    from appliance.storage import copy_detection, instances, lock
    from appliance.supervision import supervisor
    from appliance.system.process import keep_log_descriptor

    settings = _load()
    storage = Storage(settings.storage_dir)
    users = system_users.detect()
    storage.prepare(users)
    if not settings.allow_broken_flock:
        lock.check_locks_exclude(storage)
    settings = generated_secrets.complete(settings, storage)
    _warn_of_missing_copies(settings, storage)
    instance = secrets.token_hex(6)
    instances.register(storage, instance, users.database)
    if supervisor.in_image() and instances.was_started_before():
        # `docker restart`, or Docker's own after a crash: only a new container gets the database.
        instances.InstanceDirectory(storage, instance).note_request()
    environment.export(
        replace(settings, appliance_instance=instance, appliance_supervisor=os.getpid())
    )
    environment.set_variable("APPLIANCE_PYTHON", sys.executable)
    keep_log_descriptor()
    exit_code = supervisor.run()
    copy_detection.close_window_if_stopped(storage)
    return exit_code


@click.command()
def api() -> None:
    """Run the API alone, beside a running database.

    The database is another process' on the same storage. It refuses to start if the schema is
    behind this version (see SKIP_SCHEMA_CHECK).
    """
    from appliance.api import serve
    from appliance.apps import registry

    settings = _load()
    storage, app = Storage(settings.storage_dir), registry.load(settings.app)
    serve.check_schema(settings, storage, app)
    serve.run(settings, storage, system_users.detect().api, app)


@click.command()
@click.option(
    "--adopt",
    multiple=True,
    type=click.Choice(["engine", *environment.APPS, "client"]),
    help="Write this track's files into its ledger without running them. May be repeated.",
)
def migrate(adopt: tuple[str, ...]) -> None:
    """Apply pending migrations by hand, and end. `appliance up` does it by itself."""
    from appliance.agent import maintenance
    from appliance.apps import registry
    from appliance.cli import context
    from appliance.postgres import config

    settings, storage = context.load()
    # By hand one wants to hear it at once; the agent waits for the database as long as it takes.
    with context.connected(storage, config.SUPERUSER, database="postgres"):
        pass
    count = maintenance.migrate(settings, storage, registry.load(settings.app), adopt)
    done = "adopted or applied" if adopt else "applied"
    click.echo(
        f"{count} migration{'s' * (count != 1)} {done}."
        if count
        else "Nothing to do: the schema is in sync."
    )


def _warn_of_missing_copies(settings: Settings, storage: Storage) -> None:
    elsewhere = settings.backup_dir is not None and storage.root not in settings.backup_dir.parents
    if not (elsewhere or settings.backup_destinations or settings.backup_acknowledged):
        write_line(
            "settings",
            "no backup is kept outside this storage. Name a place with "
            "BACKUP_DESTINATIONS, or say BACKUP_ACKNOWLEDGED=true if somebody else copies it.",
            level="warning",
        )


def _load() -> Settings:
    use_format(environment.log_format())
    loaded = environment.load()
    if loaded.settings.log_level == "debug":
        show_debug()
    for warning in loaded.warnings:
        write_line("settings", warning, level="warning")
    return loaded.settings
