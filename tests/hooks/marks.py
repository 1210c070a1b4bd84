"""The window's marks on a storage without a Postgres."""

import shutil
from pathlib import Path

from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from appliance.system.files import write_json

OPEN = [copy_detection.MANIFEST, "hook-window.json"]
SHUT = [copy_detection.CLOSED]


def bare_storage(root: Path) -> Storage:
    """A storage with what the window needs, and no more."""
    storage = Storage(root)
    for path in (storage.pgdata, storage.run, storage.backups, storage.secrets):
        path.mkdir(parents=True)
    (storage.pgdata / "PG_VERSION").write_text("16\n")
    storage.lock.touch()
    return storage


def open_window(storage: Storage) -> None:
    """As a hook does that has made a new dump."""
    staging = storage.backups / ".staging-hook"
    staging.mkdir()
    (staging / "roles.sql").touch()
    shutil.rmtree(storage.hook_backup, ignore_errors=True)
    staging.rename(storage.hook_backup)
    copy_detection.renew_generation(storage)
    copy_detection.open_window(storage, "one")
    assert not copy_detection.is_open(storage), "it opens with the manifest, the last thing written"
    write_json(copy_detection.manifest_path(storage), {"format": 1})
    assert copy_detection.is_open(storage)


def marks(storage: Storage) -> list[str]:
    """Which marks there are."""
    manifest = copy_detection.manifest_path(storage)
    all_of_them = (manifest, manifest.with_name(copy_detection.CLOSED), storage.hook_window)
    return [path.name for path in all_of_them if path.exists()]
