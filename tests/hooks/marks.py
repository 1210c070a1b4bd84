"""The window's marks on a storage without a Postgres."""

import shutil
from pathlib import Path

from appliance.files import write_json
from appliance.postgres import hook_window
from appliance.storage import Storage

OPEN = [hook_window.MANIFEST, "hook-window.json"]
SHUT = [hook_window.CLOSED]


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
    hook_window.renew_generation(storage)
    hook_window.open_for(storage, "one")
    assert not hook_window.is_open(storage), "it opens with the manifest, the last thing written"
    write_json(hook_window.manifest_path(storage), {"format": 1})
    assert hook_window.is_open(storage)


def marks(storage: Storage) -> list[str]:
    """Which marks there are."""
    manifest = hook_window.manifest_path(storage)
    all_of_them = (manifest, manifest.with_name(hook_window.CLOSED), storage.hook_window)
    return [path.name for path in all_of_them if path.exists()]
