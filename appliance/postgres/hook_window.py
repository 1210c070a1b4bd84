"""Between the success of a pre-backup hook and the platform's copy: what the copy proves.

After a hook that succeeded the platform copies the storage while the database runs: the copy's
cluster is torn, and its dump is the truth. After anything else it copies a storage that stands
still: the cluster is the truth, and an older dump is stale. So the dump's manifest is there only
until the platform has made its copy; it is looked for in the copy before anything else.

A copy goes through the folders by name: `backups`, then `pgdata`, then `run`. The manifest lies in
the first and a second mark in the last, and both are seen to be read, in this order.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from appliance.errors import StorageError
from appliance.files import fsync_directory, write_json
from appliance.postgres import ownership
from appliance.storage import Storage

MANIFEST = "manifest.json"
CLOSED = "manifest.closed.json"
# A copy that was not seen, on a file system that tells nobody who reads, has begun long ago.
LONGEST_S = 6 * 3600.0

_FORMAT = 1
_HERE = "here.json"


def begin(storage: Storage) -> None:
    """A hook begins: take the old claim away, and let a copy that is under way show that.

    What is copied before is of another generation than what is copied after.
    """
    number = max(_generation(path) for path in _generations(storage)) + 1
    for path in _generations(storage):
        write_json(path, {"format": _FORMAT, "generation": number})
    close(storage)


def is_of_one_generation(storage: Storage) -> bool:
    """Whether no hook has begun while this copy was made, if it is one."""
    last, first = (_generation(path) for path in _generations(storage))
    return last == first


def open_for(storage: Storage, name: str) -> None:
    """Leave the other marks. The caller then writes the manifest, which opens the window."""
    here = {"format": _FORMAT, "cluster": _identity(storage)}
    write_json(storage.hook_backup / _HERE, here, 0o640)
    write_json(storage.hook_window, {"format": _FORMAT, "name": name})


def is_open(storage: Storage) -> bool:
    """Whether the hook's dump is the newest state that a copy made now would hold."""
    return manifest_path(storage).exists()


def seconds_open(storage: Storage) -> float:
    """Since when; for ever if nobody knows. It opens no file, which would look like a copy."""
    try:
        return max(0.0, time.time() - storage.hook_window.stat().st_mtime)
    except OSError:
        return float("inf")


def close(storage: Storage) -> None:
    """From now on the cluster is the truth."""
    storage.hook_window.unlink(missing_ok=True)
    manifest = manifest_path(storage)
    with suppress(FileNotFoundError):
        manifest.rename(manifest.with_name(CLOSED))
        fsync_directory(manifest.parent)


def close_if_stopped(storage: Storage) -> None:
    """Close it if no Postgres runs on this storage: what lies there now is whole, and newer."""
    # A copy does not become whole by being refused.
    if storage.restoring.exists() or (is_open(storage) and not _is_original(storage)):
        return
    if not (is_open(storage) or storage.hook_failure.exists()):
        return
    with ownership.holding(storage.lock) as nobody_runs:
        if nobody_runs:
            close(storage)
            storage.hook_failure.unlink(missing_ok=True)


def check_no_copy(storage: Storage) -> None:
    """Refuse to start on a copy that was made while the database ran; raises StorageError."""
    marked = is_open(storage) or storage.hook_window.exists() or not is_of_one_generation(storage)
    if marked and (storage.hook_backup / _HERE).exists() and not _is_original(storage):
        raise StorageError(
            f"{storage.root} is a copy that was made while its database ran, so its cluster is "
            "torn.",
            "Run /hooks/post-restore on it first: it makes the database from the dump, if it can.",
        )


def manifest_path(storage: Storage) -> Path:
    """The mark that a copy comes to first."""
    return storage.hook_backup / MANIFEST


def _is_original(storage: Storage) -> bool:
    return _read(storage.hook_backup / _HERE).get("cluster") == _identity(storage)


def _identity(storage: Storage) -> list[int]:
    # No copy has the same numbers for all of them.
    places = (storage.pgdata, storage.pgdata / "PG_VERSION", storage.lock)
    return [path.stat().st_ino for path in places if path.exists()]


def _generations(storage: Storage) -> tuple[Path, Path]:
    # Against the order of a copy: one that is made meanwhile has an older first.
    return storage.hook_generation_last, storage.hook_generation_first


def _generation(path: Path) -> int:
    number = _read(path).get("generation")
    return number if isinstance(number, int) else 0


def _read(path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
