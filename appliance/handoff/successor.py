"""Whom the owner is handing the database to.

The kernel wakes the container that has waited longest. While a handoff is under way that may be
another than the one that is to have the database; it then yields.
"""

import time
from dataclasses import asdict, dataclass

from appliance.storage import lock
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system import notes

# It is awake, waits for the lock and needs a millisecond; a second is for a machine under load.
TAKES_WITHIN_S = 1.0

_LOOK_EVERY_S = 0.001


@dataclass(frozen=True)
class Successor:
    """A container, and when the owner told its Postgres to stop for it (monotonic clock)."""

    instance: str
    stopping_at: float


def announce(storage: Storage, successor: Successor) -> None:
    """Ask every other container that gets the lock to yield to this one."""
    notes.write(storage.successor, asdict(successor), durable=False)


def forget(storage: Storage) -> None:
    """The handoff is over."""
    storage.successor.unlink(missing_ok=True)


def read(storage: Storage) -> Successor | None:
    """The handoff that is under way, or was broken off."""
    return notes.read_as(Successor, storage.successor)


def other_than(storage: Storage, instance: str) -> str | None:
    """The container that is to have the database, if it lives and is not this one."""
    successor = read(storage)
    if successor is None or successor.instance == instance:
        return None
    return successor.instance if InstanceDirectory(storage, successor.instance).is_alive() else None


def wait_until_it_owns(storage: Storage, successor: str) -> bool:
    """Wait until the successor has the lock that was just released; False if it is too late."""
    deadline = time.monotonic() + TAKES_WITHIN_S
    while time.monotonic() < deadline:
        owner = lock.read_owner(storage)
        if owner is not None and owner.instance == successor:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False
