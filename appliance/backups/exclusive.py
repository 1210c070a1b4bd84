"""One at a time: whoever makes, verifies, restores or removes backups holds one lock."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.backups.backup_errors import ConflictError
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system.files import write_atomically

_LOOK_EVERY_S = 0.2


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
    text = json.dumps({"action": action, "since": lock.now()})
    write_atomically(storage.backup_work, text + "\n", durable=False)


def _holder(storage: Storage) -> str:
    try:
        note = json.loads(storage.backup_work.read_text(encoding="utf-8"))
        return f"{note['action']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "nobody knows which"
