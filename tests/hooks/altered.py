"""`appliance hook pre-backup` with one thing altered: `python -m tests.hooks.altered HOW`.

`traced` prints the path of every fsync and every rename of our own. `impatient` waits for other
work on backups for a moment only.
"""

import os
import sys
from pathlib import Path
from typing import Any

from appliance import entry


def traced() -> None:
    """Print each fsync, and each rename with its target, as it happens."""
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def traced_fsync(fd: Any) -> None:
        fsync(fd)
        print("fsync", Path(f"/proc/self/fd/{fd}").readlink())

    def traced_rename(self: Path, target: Path) -> Path:
        print("rename", target)
        return rename(self, target)

    def traced_replace(self: Path, target: Path) -> Path:
        print("rename", target)
        return replace(self, target)

    os.fsync = traced_fsync
    Path.rename, Path.replace = traced_rename, traced_replace  # type: ignore[method-assign, assignment]  # to trace them


def impatient() -> None:
    """Wait for others no longer than a moment."""
    from appliance.backups.platform import hooks

    hooks.OTHERS_LIMIT_S = 0.1


if __name__ == "__main__":
    {"traced": traced, "impatient": impatient}[sys.argv[1]]()
    sys.argv = ["appliance", "hook", "pre-backup"]
    sys.exit(entry.main())
