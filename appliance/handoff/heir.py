"""Whom the owner is giving the database to.

The kernel wakes the container that has waited longest. While a handoff is under way that may be
another than the one that is to have the database; it then gives way.
"""

import json
import time

from appliance.files import write_json
from appliance.postgres import ownership
from appliance.postgres.instances import Folder
from appliance.storage import Storage

# It is awake, waits for the lock and needs a millisecond; a second is for a machine under load.
TAKES_WITHIN_S = 1.0

_NOTE_FORMAT = 1
_LOOK_EVERY_S = 0.001


def announce(storage: Storage, instance: str) -> None:
    """Ask every other container that gets the lock to give way to this one."""
    write_json(storage.heir, {"format": _NOTE_FORMAT, "instance": instance})


def forget(storage: Storage) -> None:
    """The handoff is over."""
    storage.heir.unlink(missing_ok=True)


def is_heir(storage: Storage, instance: str) -> bool:
    """Whether the database is being handed to this container."""
    return _read(storage) == instance


def other_than(storage: Storage, instance: str) -> str | None:
    """The container that is to have the database, if it lives and is not this one."""
    heir = _read(storage)
    return heir if heir and heir != instance and Folder(storage, heir).is_alive() else None


def wait_until_it_owns(storage: Storage, heir: str) -> bool:
    """Wait for the heir to take the lock that was just released; False if it did not in time."""
    deadline = time.monotonic() + TAKES_WITHIN_S
    while time.monotonic() < deadline:
        owner = ownership.read_owner(storage)
        if owner is not None and owner.instance == heir:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False


def _read(storage: Storage) -> str | None:
    try:
        return str(json.loads(storage.heir.read_text(encoding="utf-8"))["instance"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
