"""Errors of the file system, for people."""

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.backups.backup_errors import DestinationError
from appliance.storage.paths import mebibytes

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM}
_GONE = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENODEV}


@contextmanager
def os_errors_explained(folder: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn an OSError into a DestinationError that names the folder and says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full_error(folder, needed_bytes) from error
        where = f" ({error.filename})" if error.filename else ""
        raise DestinationError(
            f"The folder {folder} cannot be used: {error.strerror or error}{where}.",
            _hint(error, folder),
        ) from error


def check_space(folder: Path, needed_bytes: int) -> None:
    """Make sure that a backup fits; raises DestinationError that says how much is free."""
    with os_errors_explained(folder):
        status = os.statvfs(folder)
    # Some network file systems do not say how large they are.
    if status.f_blocks and status.f_bavail * status.f_frsize < needed_bytes:
        raise disk_full_error(folder, needed_bytes)


def disk_full_error(folder: Path, needed_bytes: int) -> DestinationError:
    """The error for a full disk or quota."""
    status = os.statvfs(folder)
    free = mebibytes(status.f_bavail * status.f_frsize)
    need = f"the backup needs {mebibytes(needed_bytes)}, " if needed_bytes else ""
    return DestinationError(
        f"The folder {folder} has no room: {need}{free} are free.",
        "Make room there or raise the quota, delete old backups, or choose another destination.",
    )


def _hint(error: OSError, folder: Path) -> str:
    if error.errno in _DENIED:
        command = f"chown {os.geteuid()}:{os.getegid()} {shlex.quote(str(folder))}"
        return f"Give the user with the number {os.geteuid()} write access: `{command}`."
    if error.errno == errno.EROFS:
        return "It is mounted read-only: mount it for writing."
    if error.errno in _GONE:
        return "See whether its server can be reached, and mount it again."
    return "See whether it is there and this user may write to it."
