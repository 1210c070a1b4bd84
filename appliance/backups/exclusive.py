"""One at a time: whoever makes, verifies, restores or removes backups holds one lock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from appliance.backups.backup_errors import ConflictError
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system import clock, notes

_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class _Holder:
    action: str
    since: str


@contextmanager
def holding(storage: Storage, action: str, wait_s: float = 0.0) -> Iterator[None]:
    """Keep others out while the block runs; raises ConflictError that says who is at work.

    With `wait_s` they get so much time to end.
    """
    deadline = time.monotonic() + wait_s
    while True:
        with lock.holding(storage.backup_lock) as ours:
            if ours:
                _write_holder(storage, action)
                yield
                return
        if time.monotonic() >= deadline:
            raise ConflictError(
                f"Another one is at work on the backups of this storage: {_holder(storage)}.",
                "Wait for its end, then do it again.",
            )
        time.sleep(_LOOK_EVERY_S)


def _write_holder(storage: Storage, action: str) -> None:
    notes.write(storage.backup_work, asdict(_Holder(action, clock.timestamp())), durable=False)


def _holder(storage: Storage) -> str:
    holder = notes.read_as(_Holder, storage.backup_work)
    return f"{holder.action}, since {holder.since}" if holder else "nobody knows which"
