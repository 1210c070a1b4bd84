"""Disk space: what Postgres needs to be made, to start and to go on, compared in one place."""

from pathlib import Path

from appliance.errors import DiskSpaceError, ExitCode
from appliance.storage.paths import Storage
from appliance.system.limits import MEBIBYTE, disk_space
from appliance.system.text import mebibytes

BYTES_TO_START = 32 * MEBIBYTE
BYTES_TO_CREATE = 128 * MEBIBYTE
# What it may write between two looks, and what it needs to go on.
RESERVE_BYTES = 256 * MEBIBYTE


def check_to_create(storage: Storage) -> None:
    """Raise DiskSpaceError if the disk is too full to make a cluster."""
    _check_storage(storage, BYTES_TO_CREATE, "to make the database")


def check_to_start(storage: Storage) -> None:
    """Raise DiskSpaceError if the disk is too full for Postgres to start."""
    _check_storage(storage, BYTES_TO_START, "to start the database")


def check_to_go_on(folder: Path, more_bytes: int = 0) -> None:
    """Raise DiskSpaceError if the live Postgres could not go on, were so many bytes written too."""
    free, needed = disk_space(folder).free_bytes, more_bytes + RESERVE_BYTES
    if free < needed:
        raise DiskSpaceError(
            f"The disk of {folder} has too little room: {mebibytes(free)} are free, and "
            f"{mebibytes(needed)} are needed, so that the database can go on.",
            "Make room: `appliance backup prune --keep 1` removes old backups.",
        )


def _check_storage(storage: Storage, needed: int, purpose: str) -> None:
    free = storage.free_bytes()
    if free < needed:
        raise DiskSpaceError(
            f"The disk of {storage.root} is full: {mebibytes(free)} are free, "
            f"{mebibytes(needed)} are needed {purpose}. Nothing was changed.",
            "Make room and start again.",
            ExitCode.STORAGE,
        )
