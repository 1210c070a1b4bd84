"""One at a time: whoever makes, verifies, restores or removes backups holds one lock."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.backups.errors import ConflictError
from appliance.files import write_atomically
from appliance.postgres import ownership
from appliance.storage import Storage

_LOOK_EVERY_S = 0.2


@contextmanager
def holding(storage: Storage, action: str, wait_s: float = 0.0) -> Iterator[None]:
    """Keep others out while the block runs; raises ConflictError that says who is at work.

    With `wait_s` they get so much time to end.
    """
    deadline = time.monotonic() + wait_s
    while True:
        with ownership.holding(storage.backup_lock) as ours:
            if ours:
                _note(storage, action)
                yield
                return
        if time.monotonic() >= deadline:
            raise ConflictError(
                f"Another one is at work on the backups of this storage: {_at_work(storage)}.",
                "Wait for its end, then do it again.",
            )
        time.sleep(_LOOK_EVERY_S)


def _note(storage: Storage, action: str) -> None:
    text = json.dumps({"action": action, "since": ownership.now()})
    write_atomically(storage.backup_work, text + "\n", durable=False)


def _at_work(storage: Storage) -> str:
    try:
        note = json.loads(storage.backup_work.read_text(encoding="utf-8"))
        return f"{note['action']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "nobody knows which"
