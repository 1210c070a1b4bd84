"""The small long-lived program of ours: it has the database brought up to date, then keeps house.

The work itself is done by short-lived programs, so that between two tasks this one is nothing but
a clock of a few megabytes.
"""

import socket
import sys
import time
from pathlib import Path

from appliance.identities import Identity, become
from appliance.log import write_line
from appliance.process import call
from appliance.settings import Settings

PROGRAM = "steward"

_KEEP_HOUSE_EVERY_S = 3600.0
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: steward\r\n\r\n"


def run(settings: Settings, identity: Identity) -> int:
    """Migrate, say when the appliance serves, then prune once an hour for ever.

    Returns only if the migration fails, with its exit code. With SKIP_SCHEMA_CHECK=true it goes on
    nevertheless: somebody wants to look at the database, or to adopt what is there.
    """
    started = time.monotonic()
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    if settings.client_migrations_dir is not None:
        needed.append(settings.client_migrations_dir)
    become(identity, *needed)
    failed = _task("migrate")
    if failed and not settings.skip_schema_check:
        return failed
    if failed:
        write_line(PROGRAM, "SKIP_SCHEMA_CHECK=true: it serves although the migrations failed")
    _announce(settings.port, started)
    while True:
        time.sleep(_KEEP_HOUSE_EVERY_S)
        if _task("prune"):
            write_line(PROGRAM, "pruning failed and is put off for an hour")


def _task(name: str) -> int:
    return call([sys.executable, "-P", "-m", "appliance.programs", name])


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
