"""The small long-lived program of ours: it listens, sees copies being made, and watches the clock.

What needs memory or time is a task, in a child of its own. One task at a time moves the database;
backups wait for its end. The platform's copy is looked out for meanwhile, too.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from appliance.backups.jobs.schedule import BACKUP, DRILL, Schedule, interval
from appliance.errors import ExitCode
from appliance.handoff import channel, messages
from appliance.handoff.channel import Channel
from appliance.handoff.messages import (
    BackupRequest,
    Busy,
    JobStarted,
    Message,
    NotUnderstood,
    Refused,
    Request,
    Taken,
)
from appliance.settings import Settings
from appliance.storage import copy_detection, lock
from appliance.storage.copy_watch import CopyWatch
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system import process, system_users
from appliance.system.log import write_line
from appliance.system.system_users import SystemUsers, drop_privileges

PROGRAM = "agent"
# The tasks, as `run` is given them. Each returns an exit code.
JOIN, HAND_OVER, RECORD, PRUNE, BACK_UP = "join", "hand-over", "record", "prune", "back-up"

_ANNOUNCE = "announce"
_MOVES_THE_DATABASE = frozenset({JOIN, HAND_OVER, RECORD})
_PRUNE_EVERY_S = 3600.0
# Where the schedule cannot be written down, on a full disk say, it stays due.
_DUE_AGAIN_S = 10.0
# A container that becomes the owner takes over the schedule so soon.
_LOOK_AT_OWNER_EVERY_S = 60.0
_UP = b"GET /up HTTP/1.0\r\nHost: localhost\r\nUser-Agent: agent\r\n\r\n"

Task = Callable[..., int]


def run(settings: Settings, users: SystemUsers, tasks: Mapping[str, Task]) -> int:
    """Join the containers of this storage, then serve them; returns only if joining fails.

    That is the exit code of the task, which has said why.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    if settings.client_migrations_dir is not None:
        needed.append(settings.client_migrations_dir)
    directory = InstanceDirectory(Storage(settings.storage_dir), settings.appliance_instance or "")
    listener = channel.listen(directory.socket, users)
    drop_privileges(users.database, *needed)
    process.end_with_parent(settings.appliance_supervisor)
    return _Agent(settings, directory, listener, tasks).run()


class _Agent:
    def __init__(
        self,
        settings: Settings,
        directory: InstanceDirectory,
        listener: socket.socket,
        tasks: Mapping[str, Task],
    ) -> None:
        self._settings = settings
        self._storage = Storage(settings.storage_dir)
        self._directory = directory
        self._listener = listener
        self._tasks = tasks
        self._watch = CopyWatch(self._storage)
        self._ended = process.wake_when_a_child_ends()
        self._children: dict[int, str] = {}
        self._to_tasks, self._mailbox = channel.mailbox()
        self._callers: list[tuple[Channel, BackupRequest]] = []
        self._prune_at = time.monotonic() + _PRUNE_EVERY_S
        self._due_at = -_DUE_AGAIN_S
        self._exit_code: int | None = None

    def run(self) -> int:
        self._start(JOIN, self._mailbox)
        while self._exit_code is None:
            self._wait()
            self._see_copies()
            self._bury_children()
            self._hear()
            self._begin_what_is_due()
        return self._exit_code

    def _wait(self) -> None:
        """Wait for somebody to speak, for a copy, for the end of a task, or for what is due."""
        limits = [self._prune_at - time.monotonic()]
        if (left := self._watch.seconds_left()) is not None:
            limits.append(left)
        if (due := self._seconds_until_due()) is not None:
            limits.append(due or _DUE_AGAIN_S)
        awaited = [self._listener.fileno(), self._ended, *self._watch.descriptors]
        select.select(awaited, [], [], max(0.0, min(limits)))

    def _see_copies(self) -> None:
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
                write_line(
                    PROGRAM,
                    f"a copy of the storage cannot be marked: {error.strerror}",
                    level="warning",
                )

    def _bury_children(self) -> None:
        process.drain(self._ended)
        for child, code in process.ended_children():
            name = self._children.pop(child)
            if code != 0:
                how = {"exit_code": code} if code > 0 else {"signal": -code}
                write_line(PROGRAM, f"the task {name} failed", level="error", **how)
            if name == JOIN:
                self._joined(code)

    def _joined(self, code: int) -> None:
        """Whatever came of it, a container that could migrate may now be called healthy."""
        if code != 0:
            self._exit_code = code if code > 0 else ExitCode.FAILURE
            return
        self._mark_as_running()
        self._directory.note_handoff_complete()
        self._fork(_ANNOUNCE, _announce, self._settings.port)

    def _hear(self) -> None:
        accepted = channel.accept(self._listener, 0)
        if accepted is None:
            return
        caller, message = accepted
        if isinstance(message, BackupRequest):
            if caller.peer() in system_users.may_ask_for_backups():
                self._callers.append((caller, message))
                return
        elif caller.peer() in (0, os.geteuid()):
            self._obey(caller, message)
        caller.close()

    def _obey(self, caller: Channel, message: Message) -> None:
        if message == NotUnderstood(messages.REQUEST):
            caller.reply(Refused("its request could not be understood"))
        elif isinstance(message, Taken):
            self._to_tasks.reply(message)
        elif isinstance(message, Request):
            if self._is_moving():
                caller.reply(Busy())
            else:
                self._start(HAND_OVER, os.getppid(), caller, message)

    def _begin_what_is_due(self) -> None:
        if not self._is_moving() and (taken := self._mail()) is not None:
            self._start(RECORD, taken)
        if self._is_moving():
            return
        self._begin_backups()
        if time.monotonic() >= self._prune_at:
            self._prune_at += _PRUNE_EVERY_S
            self._start(PRUNE)
        if self._seconds_until_due() == 0 and time.monotonic() - self._due_at >= _DUE_AGAIN_S:
            self._due_at = time.monotonic()
            self._start(BACK_UP, None, BackupRequest("schedule", actor="schedule"))

    def _begin_backups(self) -> None:
        for caller, request in self._callers:
            # By the machine's clock, which all containers share.
            if time.monotonic() <= request.not_after:
                caller.reply(JobStarted())
                self._start(BACK_UP, caller, request)
            caller.close()
        self._callers.clear()

    def _mail(self) -> Message | None:
        """What no task has read."""
        with suppress(TimeoutError):
            return self._mailbox.receive(0)
        return None

    def _seconds_until_due(self) -> float | None:
        """Until the schedule has something to do; None if it never has, or not here, or not now."""
        if self._is_moving() or BACK_UP in self._children.values():
            return None
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
        return owner is not None and owner.instance == self._directory.name

    def _is_moving(self) -> bool:
        return not _MOVES_THE_DATABASE.isdisjoint(self._children.values())

    def _start(self, name: str, *arguments: object) -> None:
        self._fork(name, self._tasks[name], *arguments)

    def _fork(self, name: str, task: Task, *arguments: object) -> None:
        def work() -> int:
            # A conversation is over when the last process that has it is gone.
            for caller, _ in self._callers:
                if caller not in arguments:
                    caller.close()
            return task(*arguments)

        self._children[process.fork(f"{PROGRAM} {name}", work)] = name


def _announce(port: int) -> int:
    while (answer := _ask_up(port)) != b"200":
        # Refused means that the API is still starting; any other answer takes longer to change.
        time.sleep(1.0 if answer else 0.02)
    write_line(PROGRAM, f"serving on http://localhost:{port}")
    return ExitCode.OK


def _ask_up(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_UP)
            return b"".join(connection.recv(64).split(b" ")[1:2])
    except OSError:
        return b""
