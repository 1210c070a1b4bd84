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

from appliance.backups.jobs.schedule import BACKUP, DRILL, Schedule, interval
from appliance.errors import ApplianceError
from appliance.handoff import channel
from appliance.handoff.channel import Channel, Message
from appliance.settings import Settings
from appliance.storage import copy_detection, lock
from appliance.storage.copy_watch import CopyWatch
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system import process, system_users
from appliance.system.log import write_line
from appliance.system.system_users import SystemUsers, drop_privileges

PROGRAM = "agent"

_KEEP_HOUSE_EVERY_S = 3600.0
_LEAVE_THE_PROCESSOR_S = 0.5
_REAP_EVERY_S = 2.0
# Where the schedule cannot be written down, on a full disk say, it stays due.
_DUE_AGAIN_S = 10.0
# A container that becomes the owner takes over the schedule so soon.
_LOOK_AT_OWNER_EVERY_S = 60.0
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: agent\r\n\r\n"
_ENTRY_POINTS = ("-P", "-m", "appliance.supervision.entry_points")


def run(settings: Settings, users: SystemUsers, phase: str, *arguments: str) -> NoReturn:
    """Run one phase; each becomes the next one.

    After `start` the first argument is the descriptor of the socket where others reach us, and the
    second is the watch for the platform's copy, as it is handed on.
    """
    if phase == "start":
        _start(settings, users)
    descriptor, watch, *rest = arguments
    agent = _Agent(settings, socket.socket(fileno=int(descriptor)), watch)
    if phase == "idle":
        agent.idle()
    if phase == "prune":
        agent.prune()
    if phase == "hand-over":
        agent.hand_over(Channel(socket.socket(fileno=int(rest[0]))), json.loads(rest[1]))
    if phase == "record":
        agent.record(json.loads(rest[0]))
    raise ValueError(phase)


def _start(settings: Settings, users: SystemUsers) -> NoReturn:
    """Migrate, get the database if another container has it, say so, then idle.

    Raises what the migration raises. With SKIP_SCHEMA_CHECK=true it goes on nevertheless:
    somebody wants to look at the database, or to adopt what is there.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    if settings.client_migrations_dir is not None:
        needed.append(settings.client_migrations_dir)
    directory = InstanceDirectory(Storage(settings.storage_dir), settings.appliance_instance or "")
    listener = channel.listen(directory.socket, users)
    drop_privileges(users.database, *needed)
    process.end_with_parent()
    agent = _Agent(settings, listener)
    agent.migrate()
    agent.complete_handoff()
    _announce(settings.port)
    agent.exec_phase("idle")


class _Agent:
    def __init__(self, settings: Settings, listener: socket.socket, watch: str = "") -> None:
        self._settings = settings
        self._storage = Storage(settings.storage_dir)
        self._instance = settings.appliance_instance or ""
        self._listener = listener
        self._watch = CopyWatch(self._storage, watch)
        self._due_at = -_DUE_AGAIN_S

    def migrate(self) -> None:
        from appliance.agent import maintenance
        from appliance.apps import registry

        try:
            app = registry.load(self._settings.app)
            maintenance.migrate_at_start(self._settings, self._storage, app)
        except ApplianceError as error:
            if not self._settings.skip_schema_check:
                raise
            write_line(PROGRAM, str(error))
            write_line(PROGRAM, "SKIP_SCHEMA_CHECK=true: it serves although the migrations failed")

    def complete_handoff(self) -> None:
        """Request the database; whatever comes of it, this container may then be called healthy."""
        from appliance.agent import maintenance
        from appliance.handoff import request

        directory = InstanceDirectory(self._storage, self._instance)
        acquisition = request.request_database(self._storage, directory, self._listener)
        if acquisition is not None:
            maintenance.record(self._storage, self._instance, acquisition)
        self._mark_as_running()
        directory.note_handoff_complete()

    def idle(self) -> NoReturn:
        """Listen and look out; after an hour, keep house."""
        over = time.monotonic() + _KEEP_HOUSE_EVERY_S
        while (remaining := over - time.monotonic()) > 0:
            self._wait(remaining)
            accepted = channel.accept(self._listener, 0)
            if accepted is not None:
                self._hear(*accepted)
        self.exec_phase("prune")

    def _hear(self, caller: Channel, message: Message) -> None:
        with caller:
            if caller.peer() not in system_users.may_ask_for_backups():
                return
            if message["type"] == "backup":
                if _is_in_time(message):
                    caller.reply("started")
                    self._work(str(caller.fileno()), message, [caller.fileno()])
            elif caller.peer() not in (0, os.geteuid()):
                return
            elif message["type"] == "claim":
                process.keep_open(caller.fileno())
                self.exec_phase("hand-over", str(caller.fileno()), json.dumps(message))
            elif message["type"] == "taken":
                caller.close()
                self.exec_phase("record", json.dumps(message))

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
                copy_detection.renew_generation(self._storage)
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
        owner = lock.read_owner(self._storage)
        return owner is not None and owner.instance == self._instance

    def _work(self, descriptor: str, request: Message, keep: list[int]) -> None:
        words = [*_ENTRY_POINTS, "backups", descriptor, json.dumps(request)]
        process.spawn(Path(sys.executable), words, keep)

    def hand_over(self, requester: Channel, request: Message) -> NoReturn:
        """Hand the database to another container."""
        from appliance.handoff import hand_over

        with requester:
            hand_over.hand_over_database(self._storage, self._instance, requester, request)
        # Requests wait for the other container's Postgres to start: leave it the processor.
        time.sleep(_LEAVE_THE_PROCESSOR_S)
        self.exec_phase("idle")

    def record(self, acquisition: Message) -> NoReturn:
        """Write down that the database came here, or came back."""
        from appliance.agent import maintenance

        maintenance.record(self._storage, self._instance, acquisition)
        self.exec_phase("idle")

    def prune(self) -> NoReturn:
        """Throw away what is too old to matter."""
        from appliance.agent import maintenance

        try:
            maintenance.prune(self._storage)
        except ApplianceError as error:
            write_line(PROGRAM, f"pruning is put off for an hour: {error}")
        self.exec_phase("idle")

    def exec_phase(self, phase: str, *arguments: str) -> NoReturn:
        process.keep_open(self._listener.fileno())
        handed_on = [str(self._listener.fileno()), self._watch.hand_on()]
        words = [*_ENTRY_POINTS, PROGRAM, phase, *handed_on, *arguments]
        process.exec_program(Path(sys.executable), words)


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
