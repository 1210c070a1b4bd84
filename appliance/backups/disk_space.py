"""Disk space: work on backups ends before it takes what the live Postgres needs."""

import os
from pathlib import Path

from appliance.backups.backup_errors import DiskSpaceError
from appliance.storage.paths import mebibytes
from appliance.system.limits import MEBIBYTE

# What Postgres may write between two looks, and what it needs to go on.
RESERVE_BYTES = 256 * MEBIBYTE


class DiskSpace:
    """The disk under a folder."""

    def __init__(self, folder: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._folder = folder
        self._reserve = reserve_bytes

    def check(self, needed: int = 0) -> None:
        """Raise RoomError unless so many bytes, and the reserve, are free."""
        status = os.statvfs(self._folder)
        free = status.f_bavail * status.f_frsize
        if free < needed + self._reserve:
            raise DiskSpaceError(
                f"The disk of {self._folder} has too little room: {mebibytes(free)} are free, and "
                f"{mebibytes(needed + self._reserve)} are needed, so that the database can go on.",
                "Make room: `appliance backup prune --keep 1` removes old backups.",
            )
