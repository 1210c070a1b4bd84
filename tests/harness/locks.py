"""The ownership lock as the kernel sees it, asked from outside."""

import fcntl
import os
from pathlib import Path

from appliance.storage.paths import Storage
from tests.harness.processes import everyone


def is_free(storage: Storage) -> bool:
    """Whether a stranger could take the lock now; it is given back at once."""
    descriptor = os.open(storage.lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def waits(pid: int) -> bool:
    """Whether a process is blocked in flock: the kernel marks those with an arrow."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("-> FLOCK" in line and str(pid) in line.split() for line in lines)


def holders(storage: Storage) -> set[int]:
    """Every process that has the lock file open."""
    found = set()
    for process in everyone():
        try:
            targets = {link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir()}
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if storage.lock in targets:
            found.add(process.pid)
    return found
