"""The small long-lived program of ours: it brings the database up to date, moves it, keeps house.

Between two tasks it only listens and watches the clock, in a few megabytes: for a task it
replaces itself by a fresh interpreter, and afterwards by one that has loaded nothing else.
"""

import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from appliance import identities, process
from appliance.backups.schedule import BACKUP, DRILL, Schedule, interval
from appliance.errors import ApplianceError
from appliance.handoff import channel
from appliance.handoff.channel import Channel, Message
from appliance.identities import Identities, become
from appliance.log import write_line
from appliance.postgres import hook_window, ownership
from appliance.postgres.instances import Folder
from appliance.postgres.window_watch import WindowWatch
from appliance.settings import Settings
from appliance.storage import Storage

PROGRAM = "steward"

_KEEP_HOUSE_EVERY_S = 3600.0
_LEAVE_THE_PROCESSOR_S = 0.5
_REAP_EVERY_S = 2.0
# Where the schedule cannot be written down, on a full disk say, it stays due.
_DUE_AGAIN_S = 10.0
# A container that becomes the owner takes over the schedule so soon.
_LOOK_AT_OWNER_EVERY_S = 60.0
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: steward\r\n\r\n"


def run(settings: Settings, users: Identities, phase: str, *arguments: str) -> NoReturn:
    """Run one phase; each becomes the next one.

    After `start` the first argument is the descriptor of the socket where others reach us, and the
    second is the watch for the platform's copy, as it is handed on.
    """
    if phase == "start":
        _start(settings, users)
    descriptor, watch, *rest = arguments
    steward = _Steward(settings, socket.socket(fileno=int(descriptor)), watch)
    if phase == "idle":
        steward.idle()
    if phase == "prune":
        steward.prune()
    if phase == "give":
        steward.give(Channel(socket.socket(fileno=int(rest[0]))), json.loads(rest[1]))
    if phase == "record":
        steward.record(json.loads(rest[0]))
    raise ValueError(phase)


def _start(settings: Settings, users: Identities) -> NoReturn:
    """Migrate, get the database if another container has it, say so, then idle.

    Raises what the migration raises. With SKIP_SCHEMA_CHECK=true it goes on nevertheless:
    somebody wants to look at the database, or to adopt what is there.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    if settings.client_migrations_dir is not None:
        needed.append(settings.client_migrations_dir)
    folder = Folder(Storage(settings.storage_dir), settings.appliance_instance or "")
    listener = channel.listen(folder.socket, users)
    become(users.database, *needed)
    process.end_with_parent()
    steward = _Steward(settings, listener)
    steward.migrate()
    steward.settle()
    _announce(settings.port)
    steward.become("idle")


class _Steward:
    def __init__(self, settings: Settings, listener: socket.socket, watch: str = "") -> None:
        self._settings = settings
        self._storage = Storage(settings.storage_dir)
        self._instance = settings.appliance_instance or ""
        self._listener = listener
        self._watch = WindowWatch(self._storage, watch)
        self._due_at = -_DUE_AGAIN_S

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
        self._mark_as_running()
        folder.note_settled()

    def idle(self) -> NoReturn:
        """Listen and look out; after an hour, keep house."""
        over = time.monotonic() + _KEEP_HOUSE_EVERY_S
        while (remaining := over - time.monotonic()) > 0:
            self._wait(remaining)
            accepted = channel.accept(self._listener, 0)
            if accepted is not None:
                self._hear(*accepted)
        self.become("prune")

    def _hear(self, caller: Channel, message: Message) -> None:
        with caller:
            if caller.peer() not in identities.may_ask_for_backups():
                return
            if message["type"] == "backup":
                if _is_in_time(message):
                    caller.reply("started")
                    self._work(str(caller.fileno()), message, [caller.fileno()])
            elif caller.peer() not in (0, os.geteuid()):
                return
            elif message["type"] == "claim":
                process.keep_open(caller.fileno())
                self.become("give", str(caller.fileno()), json.dumps(message))
            elif message["type"] == "taken":
                caller.close()
                self.become("record", json.dumps(message))

    def _wait(self, remaining: float) -> None:
        """Wait for somebody to speak, for the platform's copy, or for what is due."""
        busy = process.reap()
        limits = [remaining]
        if (left := self._watch.seconds_left()) is not None:
            limits.append(left)
        if busy:
            limits.append(_REAP_EVERY_S)
        elif (due := self._seconds_until_due()) is not None:
            limits.append(due or _DUE_AGAIN_S)
            if due == 0 and time.monotonic() - self._due_at >= _DUE_AGAIN_S:
                self._due_at = time.monotonic()
                self._work("-", {"action": "schedule", "actor": "schedule"}, [])
        listened = [self._listener.fileno(), *self._watch.descriptors]
        select.select(listened, [], [], max(0.0, min(limits)))
        seen = self._watch.look()
        if seen.begun:
            self._mark_as_running()
        if seen.closed:
            write_line(PROGRAM, "the platform has copied the dump of its hook")

    def _mark_as_running(self) -> None:
        """Let a copy that is under way show that the database runs; if it is frozen, so are we."""
        if self._is_owner():
            try:
                hook_window.renew_generation(self._storage)
            except OSError as error:
                write_line(PROGRAM, f"a copy of the storage cannot be marked: {error.strerror}")

    def _seconds_until_due(self) -> float | None:
        """Until the schedule has something to do; None if it never has, or not here."""
        jobs = {BACKUP: self._settings.backup_schedule, DRILL: self._settings.backup_drill}
        wanted = {name: interval(hours) for name, hours in jobs.items() if hours is not None}
        if not wanted:
            return None
        if not self._is_owner():
            return _LOOK_AT_OWNER_EVERY_S
        schedule = Schedule(self._storage)
        due = min(schedule.seconds_until(name, every) for name, every in wanted.items())
        return float(min(due, _LOOK_AT_OWNER_EVERY_S))

    def _is_owner(self) -> bool:
        owner = ownership.read_owner(self._storage)
        return owner is not None and owner.instance == self._instance

    def _work(self, descriptor: str, request: Message, keep: list[int]) -> None:
        words = ["-P", "-m", "appliance.programs", "backups", descriptor, json.dumps(request)]
        process.spawn(Path(sys.executable), words, keep)

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
        handed_on = [str(self._listener.fileno()), self._watch.hand_on()]
        words = ["-P", "-m", "appliance.programs", PROGRAM, phase, *handed_on, *arguments]
        process.become(Path(sys.executable), words)


def _is_in_time(message: Message) -> bool:
    # By the machine's clock, which all containers share.
    not_after = message.get("not_after")
    return isinstance(not_after, float) and time.monotonic() <= not_after


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
