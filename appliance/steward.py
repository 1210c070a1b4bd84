"""The small long-lived program of ours: it brings the database up to date, then keeps house."""

import socket
import sys
import time
from pathlib import Path

import psycopg

from appliance.errors import DatabaseError
from appliance.identities import Identity, become
from appliance.log import write_line
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config, roles
from appliance.postgres.connect import RECONNECT_INTERVAL_S, Connection, connect, unreachable
from appliance.settings import Settings
from appliance.storage import Storage

PROGRAM = "steward"

_REPORT_WAIT_EVERY_S = 10.0
_LONGEST_RECONNECT_INTERVAL_S = 0.05
_KEEP_HOUSE_EVERY_S = 3600.0
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: steward\r\n\r\n"
_PRUNE = (
    # A token answers a question asked within seconds; an hour is ample.
    "DELETE FROM appliance.commit_tokens WHERE created_at < now() - interval '1 hour'",
    "DELETE FROM appliance.idempotency_keys WHERE created_at < now() - interval '30 days'",
)


def run(settings: Settings, storage: Storage, identity: Identity) -> None:
    """Migrate, say when the appliance serves, then prune once an hour for ever."""
    started = time.monotonic()
    become(identity, Path(sys.prefix), Path(sys.base_prefix), Path(__file__))
    migrate(settings, storage)
    _announce(settings.port, started)
    while True:
        time.sleep(_KEEP_HOUSE_EVERY_S)
        _keep_house(storage)


def migrate(settings: Settings, storage: Storage, adopt: str | None = None) -> int:
    """Make the roles and the database, then apply what is pending; returns how many files ran."""
    tracks = load_tracks(settings.client_migrations_dir)
    with _wait_for_database(storage) as superuser:
        roles.ensure(superuser)
    try:
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


def _announce(port: int, started: float) -> None:
    while (answer := _ask_up(port)) != b"200":
        # Refused means that the API is still starting; any other answer takes longer to change.
        time.sleep(1.0 if answer else 0.02)
    took = time.monotonic() - started
    write_line(PROGRAM, f"serving on http://localhost:{port} ({took:.2f} s after the start)")


def _ask_up(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_UP)
            return b"".join(connection.recv(64).split(b" ")[1:2])
    except OSError:
        return b""


def _keep_house(storage: Storage) -> None:
    try:
        with connect(storage, config.OWNER_ROLE, program=PROGRAM) as owner:
            for statement in _PRUNE:
                owner.execute(statement)
    except (psycopg.Error, DatabaseError) as error:
        write_line(PROGRAM, f"pruning was put off: {error}")
