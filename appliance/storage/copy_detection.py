"""Between the success of a pre-backup hook and the platform's copy: what the copy proves.

After a hook that succeeded the platform copies the storage while the database runs: the copy's
cluster is torn, and its dump is the truth. After anything else it copies a storage that stands
still: the cluster is the truth, and an older dump is stale. So the dump's manifest is there only
until the platform has made its copy; it is looked for in the copy before anything else.

A copy goes through the folders by name: `backups`, then `pgdata`, then `run`. The manifest lies in
the first and a second mark in the last, and both are seen to be read, in this order.

Whatever copies it, with or without a hook: two other files, the first and the last of ours, hold
the same mark. It changes when the database runs and somebody comes to the first of them, so that a
copy with two different marks is one of a running database.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from appliance.errors import StorageError
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system import notes
from appliance.system.files import as_text, fsync_directory, write_together

MANIFEST = "manifest.json"
CLOSED = "manifest.closed.json"
# A copy that was not seen, on a file system that tells nobody who reads, has begun long ago.
LONGEST_S = 6 * 3600.0


def begin(storage: Storage) -> None:
    """A hook begins: take the old claim away, and let a copy that is under way show that."""
    try:
        renew_generation(storage)
    finally:
        # On a full disk too: that needs no room.
        close_window(storage)


def end_of_restore(storage: Storage) -> None:
    """The cluster is whole: no dump is newer, and nothing speaks of a copy any more.

    Killed in between it is a copy still, so that the restore must be run again, and can be.
    """
    _mark(storage, [])
    close_window(storage)


def renew_generation(storage: Storage) -> None:
    """The database runs: what is copied before this is of another generation than what is after.

    Raises OSError, with both marks as they were.
    """
    _mark(storage, _file_ids(storage))


def is_of_one_generation(storage: Storage) -> bool:
    """Whether no database is known to have run while this copy was made, if it is one."""
    last, first = (notes.read(path) for path in (storage.generation_last, storage.generation_first))
    return last.get("generation") == first.get("generation")


def open_window(storage: Storage, name: str) -> None:
    """Leave the other mark. The caller then writes the manifest, which opens the window."""
    notes.write(storage.hook_window, {"name": name})


def is_open(storage: Storage) -> bool:
    """Whether the hook's dump is the newest state that a copy made now would hold."""
    return manifest_path(storage).exists()


def seconds_open(storage: Storage) -> float:
    """Since when; for ever if nobody knows. It opens no file, which would look like a copy."""
    try:
        return max(0.0, time.time() - storage.hook_window.stat().st_mtime)
    except OSError:
        return float("inf")


def close_window(storage: Storage) -> None:
    """From now on the cluster is the truth."""
    storage.hook_window.unlink(missing_ok=True)
    manifest = manifest_path(storage)
    with suppress(FileNotFoundError):
        manifest.rename(manifest.with_name(CLOSED))
        fsync_directory(manifest.parent)


def close_window_if_stopped(storage: Storage) -> None:
    """Close it if no Postgres runs on this storage: what lies there now is whole, and newer."""
    # A copy does not become whole by being refused.
    if storage.restoring.exists() or (is_open(storage) and not _is_original(storage)):
        return
    if not (is_open(storage) or storage.hook_failure.exists()):
        return
    with lock.holding(storage.lock) as nobody_runs:
        if nobody_runs:
            close_window(storage)
            storage.hook_failure.unlink(missing_ok=True)


def check_no_copy(storage: Storage) -> None:
    """Refuse to start on a copy that was made while the database ran; raises StorageError."""
    marked = is_open(storage) or storage.hook_window.exists() or not is_of_one_generation(storage)
    if marked and not _is_original(storage):
        raise StorageError(
            f"{storage.root} is a copy that was made while its database ran, so its cluster is "
            "torn.",
            "Run /hooks/post-restore on it first: it makes the database from the dump, if it can.",
        )


def manifest_path(storage: Storage) -> Path:
    """The mark that a copy comes to first."""
    return storage.hook_backup / MANIFEST


def _mark(storage: Storage, cluster: list[int]) -> None:
    document = {"format": notes.FORMAT, "generation": os.urandom(8).hex(), "cluster": cluster}
    # Against the order of a copy. Nothing here opens the first: whoever does is taken for a copy.
    write_together([storage.generation_last, storage.generation_first], as_text(document))


def _is_original(storage: Storage) -> bool:
    return notes.read(storage.generation_last).get("cluster") == _file_ids(storage)


def _file_ids(storage: Storage) -> list[int]:
    # No copy has the same numbers for all of them.
    places = (storage.pgdata, storage.pgdata / "PG_VERSION", storage.lock)
    return [path.stat().st_ino for path in places if path.exists()]
