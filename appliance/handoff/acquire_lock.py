"""Getting the lock: at once, as the successor of an owner that hands over, or because it died."""

import time
from contextlib import suppress
from dataclasses import dataclass

from appliance.handoff import channel, successor
from appliance.handoff.messages import Taken
from appliance.storage import lock
from appliance.storage.instances import InstanceDirectory
from appliance.storage.lock import Owner
from appliance.storage.paths import Storage
from appliance.system.log import write_line

PROGRAM = "postgres"

# A note that is older tells of a handoff that was broken off, or of the time before a reboot.
_FRESH_S = 60.0


@dataclass(frozen=True)
class Acquisition:
    """How this container came to own the database.

    `at` is when it got the lock, in seconds of the machine's monotonic clock, which all
    containers share; `stopping_at` is when the owner began to hand over, 0 if it did not.
    `previous` is who owned before.
    """

    at: float
    stopping_at: float
    waited: bool
    was_successor: bool
    previous: Owner | None

    def report(self, directory: InstanceDirectory) -> None:
        """Tell this container's agent, unless it starts and found the database with nobody."""
        previous = self.previous
        was_ours = previous is not None and previous.instance == directory.name
        if not (self.waited or was_ours or directory.is_handoff_complete()):
            return
        prepared = time.monotonic()
        taken = Taken(self.at, prepared, self.stopping_at, self.was_successor, previous)
        channel.tell(directory.socket, taken)


def acquire_lock(
    descriptor: int, storage: Storage, instance: str, *, locks_exclude: bool = True
) -> Acquisition:
    """Return when the lock is ours; waits as long as another container owns the database."""
    directory = InstanceDirectory(storage, instance)
    try:
        waited = not lock.try_lock(descriptor)
    except OSError as error:
        if locks_exclude:
            raise
        write_line(PROGRAM, f"running without a lock (ALLOW_BROKEN_FLOCK): {error.strerror}")
        _note(storage, directory)
        return Acquisition(time.monotonic(), 0.0, waited=False, was_successor=False, previous=None)
    if waited:
        _wait(descriptor, storage, directory)
    waited = _yield_to_successor(descriptor, storage, directory) or waited
    acquisition = _describe(storage, instance, waited=waited)
    _note(storage, directory)
    if waited:
        write_line(PROGRAM, _why(acquisition, instance))
    return acquisition


def _describe(storage: Storage, instance: str, *, waited: bool) -> Acquisition:
    now, handoff = time.monotonic(), successor.read(storage)
    if handoff is None or not 0 <= now - handoff.stopping_at < _FRESH_S:
        handoff = None
    return Acquisition(
        now,
        handoff.stopping_at if handoff else 0.0,
        waited,
        was_successor=handoff is not None and handoff.instance == instance,
        previous=lock.read_owner(storage),
    )


def _note(storage: Storage, directory: InstanceDirectory) -> None:
    try:
        lock.note_owner(storage, directory.name)
        directory.note_owning()
        successor.forget(storage)
    except OSError as error:
        # Notes are courtesy; if the disk is full, the cluster's own check says so.
        write_line(PROGRAM, f"{storage.owner} could not be written: {error.strerror}")


def _yield_to_successor(descriptor: int, storage: Storage, directory: InstanceDirectory) -> bool:
    """Let a successor have the lock first, once each; returns whether there was one."""
    passed_to: set[str] = set()
    while (other := successor.other_than(storage, directory.name)) and other not in passed_to:
        passed_to.add(other)
        lock.release(descriptor)
        if successor.wait_until_it_owns(storage, other):
            _wait(descriptor, storage, directory)
        else:
            write_line(PROGRAM, f"container {other} was to have the database and did not take it")
            lock.wait_for_lock(descriptor)
    return bool(passed_to)


def _wait(descriptor: int, storage: Storage, directory: InstanceDirectory) -> None:
    with suppress(OSError):
        directory.note_waiting()
    write_line(PROGRAM, _holder(storage, directory.name))
    lock.wait_for_lock(descriptor)


def _holder(storage: Storage, instance: str) -> str:
    owner = lock.read_owner(storage)
    if owner is not None and owner.instance == instance:
        return "waiting for the last process of the Postgres that was here before"
    who = f"container {owner.hostname} since {owner.since}" if owner else "another container"
    return f"standby: {who} owns the database; serving through it"


def _why(acquisition: Acquisition, instance: str) -> str:
    if acquisition.was_successor:
        return "the owner has handed over; this container owns the database now"
    if acquisition.previous is not None and acquisition.previous.instance == instance:
        return "this container owns the database again"
    return "the owner is gone; this container owns the database now"
