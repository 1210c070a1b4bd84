"""The small long-lived program of ours: it brings the database up to date, then keeps house.

Between two tasks it is nothing but a clock of a few megabytes: it replaces itself by a fresh
interpreter that has loaded nothing else.
"""

import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from appliance import process
from appliance.errors import ApplianceError
from appliance.identities import Identity, become
from appliance.log import write_line
from appliance.settings import Settings
from appliance.storage import Storage

PROGRAM = "steward"

_KEEP_HOUSE_EVERY_S = 3600.0
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: steward\r\n\r\n"


def start(settings: Settings, identity: Identity) -> NoReturn:
    """Migrate and say when the appliance serves; then become the clock.

    Raises what the migration raises. With SKIP_SCHEMA_CHECK=true it goes on nevertheless:
    somebody wants to look at the database, or to adopt what is there.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    if settings.client_migrations_dir is not None:
        needed.append(settings.client_migrations_dir)
    become(identity, *needed)
    process.end_with_parent()
    try:
        _migrate(settings)
    except ApplianceError as error:
        if not settings.skip_schema_check:
            raise
        write_line(PROGRAM, str(error))
        write_line(PROGRAM, "SKIP_SCHEMA_CHECK=true: it serves although the migrations failed")
    _announce(settings.port)
    _become("idle")


def idle() -> NoReturn:
    """Be the clock: after an hour, keep house."""
    time.sleep(_KEEP_HOUSE_EVERY_S)
    _become("prune")


def prune(settings: Settings) -> NoReturn:
    """Throw away what is too old to matter, then be the clock again."""
    from appliance import upkeep

    try:
        upkeep.prune(Storage(settings.storage_dir))
    except ApplianceError as error:
        write_line(PROGRAM, f"pruning is put off for an hour: {error}")
    _become("idle")


def _migrate(settings: Settings) -> None:
    from appliance import upkeep

    upkeep.migrate(settings, Storage(settings.storage_dir))


def _become(phase: str) -> NoReturn:
    process.become(Path(sys.executable), ["-P", "-m", "appliance.programs", PROGRAM, phase])


def _announce(port: int) -> None:
    while (answer := _ask_up(port)) != b"200":
        # Refused means that the API is still starting; any other answer takes longer to change.
        time.sleep(1.0 if answer else 0.02)
    write_line(PROGRAM, f"serving on http://localhost:{port}")


def _ask_up(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_UP)
            return b"".join(connection.recv(64).split(b" ")[1:2])
    except OSError:
        return b""
