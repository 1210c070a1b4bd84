"""The small long-lived program of ours: it brings the database up to date, moves it, keeps house.

Between two tasks it only listens and watches the clock, in a few megabytes: for a task it
replaces itself by a fresh interpreter, and afterwards by one that has loaded nothing else.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from appliance import process
from appliance.errors import ApplianceError
from appliance.handoff import channel
from appliance.handoff.channel import Channel, Message
from appliance.identities import Identity, become
from appliance.log import write_line
from appliance.postgres.instances import Folder
from appliance.settings import Settings
from appliance.storage import Storage

PROGRAM = "steward"

_KEEP_HOUSE_EVERY_S = 3600.0
_LEAVE_THE_PROCESSOR_S = 0.5
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: steward\r\n\r\n"


def run(settings: Settings, identity: Identity, phase: str, *arguments: str) -> NoReturn:
    """Run one phase; each becomes the next one.

    After `start` the first argument is the descriptor of the socket where others reach us.
    """
    if phase == "start":
        _start(settings, identity)
    steward = _Steward(settings, socket.socket(fileno=int(arguments[0])))
    if phase == "idle":
        steward.idle()
    if phase == "prune":
        steward.prune()
    if phase == "give":
        steward.give(Channel(socket.socket(fileno=int(arguments[1]))), json.loads(arguments[2]))
    if phase == "record":
        steward.record(json.loads(arguments[1]))
    raise ValueError(phase)


def _start(settings: Settings, identity: Identity) -> NoReturn:
    """Migrate, get the database if another container has it, say so, then idle.

    Raises what the migration raises. With SKIP_SCHEMA_CHECK=true it goes on nevertheless:
    somebody wants to look at the database, or to adopt what is there.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    if settings.client_migrations_dir is not None:
        needed.append(settings.client_migrations_dir)
    become(identity, *needed)
    process.end_with_parent()
    folder = Folder(Storage(settings.storage_dir), settings.appliance_instance or "")
    steward = _Steward(settings, channel.listen(folder.socket))
    steward.migrate()
    steward.settle()
    _announce(settings.port)
    steward.become("idle")


class _Steward:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._storage = Storage(settings.storage_dir)
        self._instance = settings.appliance_instance or ""
        self._listener = listener

    def migrate(self) -> None:
        from appliance import upkeep

        try:
            upkeep.migrate_at_start(self._settings, self._storage)
        except ApplianceError as error:
            if not self._settings.skip_schema_check:
                raise
            write_line(PROGRAM, str(error))
            write_line(PROGRAM, "SKIP_SCHEMA_CHECK=true: it serves although the migrations failed")

    def settle(self) -> None:
        """Claim the database; whatever comes of it, this container may then be called healthy."""
        from appliance import upkeep
        from appliance.handoff import claiming

        folder = Folder(self._storage, self._instance)
        taking = claiming.claim(self._storage, folder, self._listener)
        if taking is not None:
            upkeep.record(self._storage, self._instance, taking)
        folder.note_settled()

    def idle(self) -> NoReturn:
        """Listen; after an hour, keep house."""
        over = time.monotonic() + _KEEP_HOUSE_EVERY_S
        while (remaining := over - time.monotonic()) > 0:
            accepted = channel.accept(self._listener, remaining)
            if accepted is None:
                continue
            caller, message = accepted
            if message["type"] == "claim":
                process.keep_open(caller.fileno())
                self.become("give", str(caller.fileno()), json.dumps(message))
            caller.close()
            if message["type"] == "taken":
                self.become("record", json.dumps(message))
        self.become("prune")

    def give(self, claimant: Channel, claim: Message) -> NoReturn:
        """Hand the database to another container."""
        from appliance.handoff import giving

        with claimant:
            giving.give(self._storage, self._instance, claimant, claim)
        # Requests wait for the other container's Postgres to start: leave it the processor.
        time.sleep(_LEAVE_THE_PROCESSOR_S)
        self.become("idle")

    def record(self, taking: Message) -> NoReturn:
        """Write down that the database came here, or came back."""
        from appliance import upkeep

        upkeep.record(self._storage, self._instance, taking)
        self.become("idle")

    def prune(self) -> NoReturn:
        """Throw away what is too old to matter."""
        from appliance import upkeep

        try:
            upkeep.prune(self._storage)
        except ApplianceError as error:
            write_line(PROGRAM, f"pruning is put off for an hour: {error}")
        self.become("idle")

    def become(self, phase: str, *arguments: str) -> NoReturn:
        process.keep_open(self._listener.fileno())
        words = ["-P", "-m", "appliance.programs", PROGRAM, phase, str(self._listener.fileno())]
        process.become(Path(sys.executable), [*words, *arguments])


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
