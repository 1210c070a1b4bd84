"""Fills a disk while a backup is stored on it; runs in a mount namespace of its own.

Argument: an empty folder. Prints what came of it, as a JSON document.
"""

import json
import subprocess
import sys
from pathlib import Path

from appliance.backups.backup_errors import DestinationError
from appliance.backups.destinations.folder import FolderDestination
from tests.backups.destinations import backups

DISK_MIB = 48
BACKUP_MIB = 24


def main(folder: Path) -> None:
    """The backup fits when it begins; then something else takes the room."""
    disk, source = folder / "disk", folder / "source"
    disk.mkdir()
    size = f"size={DISK_MIB}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", disk], check=True)
    manifest = backups.make_large(source, BACKUP_MIB, "nightly")
    destination, found = FolderDestination("local", disk), {}
    try:
        destination.store(manifest, source, lambda _: _fill(disk))
    except DestinationError as error:
        words = ("no room", f"needs {BACKUP_MIB} MiB", "MiB are free")
        told = all(word in error.message for word in words)
        found = {"error": type(error).__name__, "told": told}
    found["left"] = _names(disk)
    (disk / "filler").write_bytes(b"")
    destination.store(manifest, source, backups.ignore)
    print(json.dumps({**found, "after room was made": _names(disk)}))


def _fill(disk: Path) -> None:
    if not (disk / "filler").exists():
        (disk / "filler").write_bytes(bytes((DISK_MIB - BACKUP_MIB // 2) << 20))


def _names(disk: Path) -> list[str]:
    return sorted(path.name for path in disk.iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
