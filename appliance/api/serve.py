"""The API program: take the port, drop privileges, serve."""

import errno
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from appliance.apps.contract import App
from appliance.database.connect import Connection, connect, unreachable
from appliance.database.holds import Hold
from appliance.database.units_of_work import Database
from appliance.errors import SettingsError
from appliance.handoff import history
from appliance.migrations import schema_check
from appliance.migrations.schema_check import SchemaGate
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system.limits import detect
from appliance.system.log import write_line
from appliance.system.process import end_with_parent
from appliance.system.system_users import SystemUser, drop_privileges

PROGRAM = "api"

_BACKLOG = 2048
# Under the proxy's 30 s, so that a slow statement gets an answer of ours.
_STATEMENT_TIMEOUT_S = 25.0
# Workers whose master was killed hold the port until they notice: a second, then their requests.
_PORT_IS_FREED_IN_S = 5.0


def run(
    settings: Settings,
    storage: Storage,
    user: SystemUser,
    guest: App,
    *,
    supervised: bool = False,
) -> None:
    """Serve, with a guest, until SIGTERM. Requests are held; health answers at once."""
    listener = listen(settings.port)
    # Before the privileges are gone: the API's user need not be able to read the app's files.
    tracks = load_tracks(guest.tracks(), settings.client_migrations_dir)
    drop_privileges(user, Path(sys.prefix), Path(sys.base_prefix), Path(__file__), storage.run)
    if supervised:
        end_with_parent(settings.appliance_supervisor)

    # After the privileges are gone, and only where it is needed: this is most of the memory.
    from appliance.api import app, gunicorn_server

    workers, threads = gunicorn_server.concurrency(settings, detect(settings.num_cpus))
    database = open_database(settings, storage)
    gate = SchemaGate(database, tracks, skip=settings.skip_schema_check)
    gunicorn_server.serve(
        lambda: app.create_app(settings, storage, database, gate, guest),
        listener.detach(),
        workers=workers,
        threads=threads,
    )


def check_schema(settings: Settings, storage: Storage, guest: App) -> None:
    """The boot guard of the API alone: raise SchemaError if the schema is behind."""
    tracks = load_tracks(guest.tracks(), settings.client_migrations_dir)
    try:
        with connect(storage, config.API_ROLE, program=PROGRAM) as connection:
            state = schema_check.read_schema_state(connection, tracks)
    except psycopg.OperationalError as error:
        raise unreachable(storage, error) from error
    if settings.skip_schema_check:
        write_line(PROGRAM, "SKIP_SCHEMA_CHECK=true: the schema was not checked", level="warning")
    else:
        schema_check.check(state)


def open_database(settings: Settings, storage: Storage) -> Database:
    """The API's database: the ordinary role, through the socket of whoever owns the cluster."""

    def connect_as_api() -> Connection:
        return connect(
            storage, config.API_ROLE, program=PROGRAM, statement_timeout_s=_STATEMENT_TIMEOUT_S
        )

    def report(hold: Hold) -> None:
        write_line(PROGRAM, hold.words, level="warning" if hold.given_up else "info")
        with suppress(psycopg.Error), connect_as_api() as connection:
            history.record_hold(connection, settings.appliance_instance, hold)

    return Database(
        connect_as_api,
        storage.socket,
        settings.hold_seconds,
        connections=config.API_CONNECTIONS,
        report=report,
    )


def listen(port: int) -> socket.socket:
    """Open the port on every address; raises SettingsError if that is not possible."""
    deadline = time.monotonic() + _PORT_IS_FREED_IN_S
    while True:
        try:
            return _bind(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise _cannot_listen(port, error) from error
        time.sleep(0.02)


def _bind(port: int) -> socket.socket:
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    return socket.create_server(("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)


def _cannot_listen(port: int, error: OSError) -> SettingsError:
    reasons = {
        errno.EADDRINUSE: f"Port {port} is taken by another program.",
        errno.EACCES: f"Port {port} may be opened by root only.",
    }
    return SettingsError(
        reasons.get(error.errno or 0, f"Port {port} cannot be opened: {error.strerror}."),
        "Choose another one with PORT.",
    )
