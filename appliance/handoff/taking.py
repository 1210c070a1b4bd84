"""Getting the lock: at once, as the heir of an owner that hands over, or because it died."""

import time
from contextlib import suppress
from dataclasses import dataclass

from appliance.handoff import channel, heir
from appliance.log import write_line
from appliance.postgres import ownership
from appliance.postgres.instances import Folder
from appliance.postgres.ownership import Owner
from appliance.storage import Storage

PROGRAM = "postgres"

# A note that is older tells of a handoff that was broken off, or of the time before a reboot.
_FRESH_S = 60.0


@dataclass(frozen=True)
class Taking:
    """How this container came to own the database.

    `at` is when it got the lock, in seconds of the machine's monotonic clock, which all
    containers share; `stopping_at` is when the owner began to hand over, 0 if it did not.
    `previous` is who owned before.
    """

    at: float
    stopping_at: float
    waited: bool
    was_heir: bool
    previous: Owner | None

    def report(self, folder: Folder) -> None:
        """Tell this container's steward, unless it starts and found the database with nobody."""
        previous = self.previous
        was_ours = previous is not None and previous.instance == folder.name
        if not (self.waited or was_ours or folder.is_settled()):
            return
        channel.tell(
            folder.socket,
            "taken",
            at=self.at,
            stopping_at=self.stopping_at,
            prepared=time.monotonic(),
            was_heir=self.was_heir,
            previous=vars(previous) if previous else None,
        )


def take(descriptor: int, storage: Storage, instance: str, *, locks_exclude: bool = True) -> Taking:
    """Return when the lock is ours; waits as long as another container owns the database."""
    folder = Folder(storage, instance)
    try:
        waited = not ownership.try_lock(descriptor)
    except OSError as error:
        if locks_exclude:
            raise
        write_line(PROGRAM, f"running without a lock (ALLOW_BROKEN_FLOCK): {error.strerror}")
        _note(storage, folder)
        return Taking(time.monotonic(), 0.0, waited=False, was_heir=False, previous=None)
    if waited:
        _wait(descriptor, storage, folder)
    waited = _give_way(descriptor, storage, folder) or waited
    taken = _describe(storage, instance, waited=waited)
    _note(storage, folder)
    if waited:
        write_line(PROGRAM, _why(taken, instance))
    return taken


def _describe(storage: Storage, instance: str, *, waited: bool) -> Taking:
    now, handoff = time.monotonic(), heir.read(storage)
    if handoff is None or not 0 <= now - handoff.stopping_at < _FRESH_S:
        handoff = None
    return Taking(
        now,
        handoff.stopping_at if handoff else 0.0,
        waited,
        was_heir=handoff is not None and handoff.instance == instance,
        previous=ownership.read_owner(storage),
    )


def _note(storage: Storage, folder: Folder) -> None:
    try:
        ownership.note_owner(storage, folder.name)
        folder.note_owning()
        heir.forget(storage)
    except OSError as error:
        # Notes are courtesy; if the disk is full, the cluster's own check says so.
        write_line(PROGRAM, f"{storage.owner} could not be written: {error.strerror}")


def _give_way(descriptor: int, storage: Storage, folder: Folder) -> bool:
    """Let the heir of a handoff have the lock first, once each; returns whether there was one."""
    passed_to: set[str] = set()
    while (other := heir.other_than(storage, folder.name)) and other not in passed_to:
        passed_to.add(other)
        ownership.release(descriptor)
        if heir.wait_until_it_owns(storage, other):
            _wait(descriptor, storage, folder)
        else:
            write_line(PROGRAM, f"container {other} was to have the database and did not take it")
            ownership.wait_for_lock(descriptor)
    return bool(passed_to)


def _wait(descriptor: int, storage: Storage, folder: Folder) -> None:
    with suppress(OSError):
        folder.note_waiting()
    write_line(PROGRAM, _holder(storage, folder.name))
    ownership.wait_for_lock(descriptor)


def _holder(storage: Storage, instance: str) -> str:
    owner = ownership.read_owner(storage)
    if owner is not None and owner.instance == instance:
        return "waiting for the last process of the Postgres that was here before"
    who = f"container {owner.hostname} since {owner.since}" if owner else "another container"
    return f"standby: {who} owns the database; serving through it"


def _why(taken: Taking, instance: str) -> str:
    if taken.was_heir:
        return "the owner has handed over; this container owns the database now"
    if taken.previous is not None and taken.previous.instance == instance:
        return "this container owns the database again"
    return "the owner is gone; this container owns the database now"
