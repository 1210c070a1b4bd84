"""Files of backups on this machine: in blocks, checked on their way, errors in words for people."""

import errno
import hashlib
import os
import secrets
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from appliance.backups.backup_errors import DestinationError
from appliance.backups.destinations.destination import ReportBytes
from appliance.backups.format.manifest import File, damaged_error
from appliance.system.limits import disk_space
from appliance.system.text import mebibytes

Block = bytes | memoryview

BLOCK_BYTES = 1 << 20

_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM}
_GONE = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENODEV}


def read_checked(folder: Path, file: File, backup: str, report: ReportBytes) -> Iterator[Block]:
    """A backup's file in blocks of 1 MiB; raises DamagedError at the latest at its end."""
    return checked(_blocks(folder / file.path, file, backup), file, backup, report)


def checked(
    blocks: Iterable[Block], file: File, backup: str, report: ReportBytes
) -> Iterator[Block]:
    """Pass blocks on; raises DamagedError as soon as they cannot be the file any more."""
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
        if size > file.size:
            raise damaged_error(backup, f"{file.path} has more than {file.size} bytes")
        yield block
        report(len(block))
    if size != file.size:
        raise damaged_error(backup, f"{file.path} has {size} bytes, not {file.size}")
    if digest.hexdigest() != file.sha256:
        raise damaged_error(backup, f"{file.path} was altered")


def write(blocks: Iterable[Block], target: Path, *, durable: bool) -> None:
    """Make a file of blocks, under its name only when all of them are in it."""
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    descriptor = os.open(partial, _NEW_FILE, 0o640)
    try:
        with open(descriptor, "wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            if durable:
                os.fsync(descriptor)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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
        space = disk_space(folder)
    # Some network file systems do not say how large they are.
    if space.total_bytes and space.free_bytes < needed_bytes:
        raise disk_full_error(folder, needed_bytes)


def disk_full_error(folder: Path, needed_bytes: int) -> DestinationError:
    """The error for a full disk or quota."""
    free = mebibytes(disk_space(folder).free_bytes)
    need = f"the backup needs {mebibytes(needed_bytes)}, " if needed_bytes else ""
    return DestinationError(
        f"The folder {folder} has no room: {need}{free} are free.",
        "Make room there or raise the quota, delete old backups, or choose another destination.",
    )


def _blocks(path: Path, file: File, backup: str) -> Iterator[Block]:
    with os_errors_explained(path.parent), _open(path, file, backup) as source:
        while block := source.read(BLOCK_BYTES):
            yield block


def _open(path: Path, file: File, backup: str) -> BinaryIO:
    try:
        return path.open("rb")
    except _MISSING:
        raise damaged_error(backup, f"{file.path} is missing") from None


def _hint(error: OSError, folder: Path) -> str:
    if error.errno in _DENIED:
        command = f"chown {os.geteuid()}:{os.getegid()} {shlex.quote(str(folder))}"
        return f"Give the user with the number {os.geteuid()} write access: `{command}`."
    if error.errno == errno.EROFS:
        return "It is mounted read-only: mount it for writing."
    if error.errno in _GONE:
        return "See whether its server can be reached, and mount it again."
    return "See whether it is there and this user may write to it."
