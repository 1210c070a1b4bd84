"""Whom the owner is giving the database to.

The kernel wakes the container that has waited longest. While a handoff is under way that may be
another than the one that is to have the database; it then gives way.
"""

import json
import time
from dataclasses import asdict, dataclass

from appliance.files import write_json
from appliance.postgres import ownership
from appliance.postgres.instances import Folder
from appliance.storage import Storage

# It is awake, waits for the lock and needs a millisecond; a second is for a machine under load.
TAKES_WITHIN_S = 1.0

_NOTE_FORMAT = 1
_LOOK_EVERY_S = 0.001


@dataclass(frozen=True)
class Heir:
    """A container, and when the owner told its Postgres to stop for it (monotonic clock)."""

    instance: str
    stopping_at: float


def announce(storage: Storage, heir: Heir) -> None:
    """Ask every other container that gets the lock to give way to this one."""
    write_json(storage.heir, {"format": _NOTE_FORMAT, **asdict(heir)}, durable=False)


def forget(storage: Storage) -> None:
    """The handoff is over."""
    storage.heir.unlink(missing_ok=True)


def read(storage: Storage) -> Heir | None:
    """The handoff that is under way, or was broken off."""
    try:
        note = json.loads(storage.heir.read_text(encoding="utf-8"))
        return Heir(str(note["instance"]), float(note["stopping_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def other_than(storage: Storage, instance: str) -> str | None:
    """The container that is to have the database, if it lives and is not this one."""
    heir = read(storage)
    if heir is None or heir.instance == instance:
        return None
    return heir.instance if Folder(storage, heir.instance).is_alive() else None


def wait_until_it_owns(storage: Storage, heir: str) -> bool:
    """Wait for the heir to take the lock that was just released; False if it did not in time."""
    deadline = time.monotonic() + TAKES_WITHIN_S
    while time.monotonic() < deadline:
        owner = ownership.read_owner(storage)
        if owner is not None and owner.instance == heir:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False
