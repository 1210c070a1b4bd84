"""The segment of System V shared memory that each Postgres has: a killed one leaves it behind.

The next Postgres on the same cluster removes it, but a test's cluster has none. The kernel has room
for 4,096 (kernel.shmmni), and where all are taken no Postgres starts any more.
"""

import ctypes
from contextlib import suppress
from pathlib import Path

_IPC_RMID = 0
# In postmaster.pid: the key and the number of the segment.
_LINE = 6
# A test's folder, a storage in it, its clusters.
_PLACES = ("postmaster.pid", "*/postmaster.pid", "*/*/postmaster.pid", "*/*/*/postmaster.pid")


def remove_left(folder: Path) -> None:
    """Remove those that belong to clusters in a folder and that no process has."""
    left = unused()
    for place in _PLACES:
        for file in folder.glob(place):
            if (found := segment(file)) in left:
                ctypes.CDLL(None).shmctl(found[1], _IPC_RMID, None)


def segment(file: Path) -> tuple[int, int]:
    """The key and the number in a postmaster.pid; two that no segment has if there is none."""
    with suppress(OSError, ValueError, IndexError):
        key, number = file.read_text().splitlines()[_LINE].split()
        return int(key), int(number)
    return -1, -1


def unused() -> set[tuple[int, int]]:
    """The keys and numbers of the segments that no process has."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    fields = [[int(field) for field in row.split()] for row in rows]
    return {(key, number) for key, number, _, _, _, _, attached, *_ in fields if not attached}
