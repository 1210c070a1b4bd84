"""The database's upkeep: bring it up to date, throw away what is too old to matter."""

import time
from collections.abc import Collection

import psycopg

from appliance.log import write_line
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config, roles
from appliance.postgres.connect import RECONNECT_INTERVAL_S, Connection, connect, unreachable
from appliance.settings import Settings
from appliance.storage import Storage

PROGRAM = "steward"
IDEMPOTENCY_DAYS = 30

_REPORT_WAIT_EVERY_S = 10.0
_LONGEST_RECONNECT_INTERVAL_S = 0.05
# A token answers a question that is asked within seconds; an hour is ample.
_PRUNE_TOKENS = "DELETE FROM appliance.commit_tokens WHERE created_at < now() - interval '1 hour'"


def migrate(settings: Settings, storage: Storage, adopt: Collection[str] = ()) -> int:
    """Make the roles and the database, then apply what is pending; returns how many files ran."""
    tracks = load_tracks(settings.client_migrations_dir)
    try:
        with _wait_for_database(storage) as superuser:
            roles.ensure(superuser)
        with connect(storage, config.OWNER_ROLE, program=PROGRAM) as owner:
            return runner.migrate(
                owner,
                tracks,
                timeout_s=settings.migration_timeout,
                report=lambda text: write_line(PROGRAM, text),
                adopt=adopt,
            )
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error


def prune(storage: Storage) -> None:
    """Forget commit tokens after an hour and answers to idempotency keys after 30 days."""
    # Here, because migrations at the start must not wait for the web framework to load.
    from appliance.web import idempotency

    try:
        with connect(storage, config.OWNER_ROLE, program=PROGRAM) as owner:
            owner.execute(_PRUNE_TOKENS)
            idempotency.prune(owner, IDEMPOTENCY_DAYS)
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error


def _wait_for_database(storage: Storage) -> Connection:
    """Wait as long as it takes: crash recovery may be long, and a standby waits for its owner."""
    started = reported = time.monotonic()
    interval = RECONNECT_INTERVAL_S
    while True:
        try:
            return connect(storage, config.SUPERUSER, database="postgres", program=PROGRAM)
        except psycopg.OperationalError as error:
            now = time.monotonic()
            if now - reported >= _REPORT_WAIT_EVERY_S:
                reported = now
                write_line(PROGRAM, f"waiting {now - started:.0f} s for the database: {error}")
        time.sleep(interval)
        interval = min(interval * 1.1, _LONGEST_RECONNECT_INTERVAL_S)
