"""Maintenance of the database: bring it up to date, throw away what is too old to matter."""

import time
from collections.abc import Collection

import psycopg

from appliance.apps import registry
from appliance.apps.contract import App
from appliance.database import application_names, roles
from appliance.database.connect import Connection, connect, unreachable
from appliance.database.reconnect import ReconnectPause
from appliance.errors import DatabaseError
from appliance.handoff import history
from appliance.handoff.messages import Taken
from appliance.migrations import ledger, runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system.log import write_line

PROGRAM = "agent"
IDEMPOTENCY_DAYS = 30

_REPORT_WAIT_EVERY_S = 10.0
_MIGRATE_AGAIN_AFTER_S = 0.2
# A token answers a question that is asked within seconds; an hour is ample.
_PRUNE_TOKENS = "DELETE FROM appliance.commit_tokens WHERE created_at < now() - interval '1 hour'"


def migrate(settings: Settings, storage: Storage, app: App, adopt: Collection[str] = ()) -> int:
    """Make the roles and the database, then apply what is pending; returns how many files ran."""
    try:
        return _migrate(settings, storage, app, adopt)
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error


def migrate_at_start(settings: Settings, storage: Storage, app: App) -> None:
    """Migrate, from the start again whenever the database goes away meanwhile.

    It may be another container's, which is killed or hands it to a third; and each file is
    applied in full or not at all.
    """
    while True:
        try:
            _migrate(settings, storage, app, ())
        except (DatabaseError, psycopg.OperationalError) as error:
            write_line(PROGRAM, f"migrating from the start again: {_first_line(error)}")
            time.sleep(_MIGRATE_AGAIN_AFTER_S)
        else:
            return


def record(storage: Storage, instance: str, taken: Taken) -> None:
    """Wait until our Postgres answers, then write down how it got here, and log it."""
    _wait_for_database(storage).close()
    serving_at = _serving_since(storage)
    try:
        with connect(storage, config.OWNER_ROLE, program=application_names.AGENT) as owner:
            write_line(PROGRAM, history.record(owner, instance, taken, serving_at))
    except psycopg.Error as error:
        write_line(PROGRAM, f"the handoff could not be written down: {_first_line(error)}")


def _serving_since(storage: Storage) -> float:
    """When Postgres began to answer, by the monotonic clock; 0 if it is gone again.

    It writes its state into its pid file then (miscadmin.h, LOCK_FILE_LINE_PM_STATUS), so it does
    not matter how late the agent comes to ask.
    """
    try:
        ready_at = (storage.pgdata / "postmaster.pid").stat().st_mtime
    except FileNotFoundError:
        return 0.0
    return time.monotonic() - (time.time() - ready_at)


def prune(storage: Storage) -> None:
    """Forget commit tokens after an hour and answers to idempotency keys after 30 days."""
    # Here, because migrations at the start must not wait for the web framework to load.
    from appliance.web import idempotency

    try:
        with connect(storage, config.OWNER_ROLE, program=application_names.AGENT) as owner:
            owner.execute(_PRUNE_TOKENS)
            history.prune(owner)
            idempotency.prune(owner, IDEMPOTENCY_DAYS)
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error


def _migrate(settings: Settings, storage: Storage, app: App, adopt: Collection[str]) -> int:
    tracks = load_tracks(app.tracks(), settings.client_migrations_dir)
    with _wait_for_database(storage) as superuser:
        roles.ensure(superuser)
    with connect(storage, config.OWNER_ROLE, program=application_names.AGENT) as owner:
        count = runner.migrate(
            owner,
            tracks,
            timeout_s=settings.migration_timeout,
            report=lambda text: write_line(PROGRAM, text),
            adopt=adopt,
        )
        _say_what_nobody_serves(owner, app)
    return count


def _say_what_nobody_serves(owner: Connection, app: App) -> None:
    for other in registry.others(app):
        if any(ledger.read(owner, track) for track in other.tracks()):
            write_line(
                PROGRAM,
                f"APP={app.name}: the tables of {other.name} stay as they are, and nobody serves "
                "them",
            )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _wait_for_database(storage: Storage) -> Connection:
    """Wait as long as it takes: crash recovery may be long, and a standby waits for its owner."""
    started = reported = time.monotonic()
    pause = ReconnectPause(storage.socket)
    while True:
        try:
            return connect(
                storage, config.SUPERUSER, database="postgres", program=application_names.AGENT
            )
        except psycopg.OperationalError as error:
            now = time.monotonic()
            if now - reported >= _REPORT_WAIT_EVERY_S:
                reported = now
                write_line(PROGRAM, f"waiting {now - started:.0f} s for the database: {error}")
            pause.wait(error)
