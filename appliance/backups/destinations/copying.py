"""Files in blocks, checked on their way against what the manifest says."""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from appliance.backups.destinations.destination import ReportBytes
from appliance.backups.destinations.folder_errors import os_errors_explained
from appliance.backups.format.manifest import File, damaged_error
from appliance.system.files import fsync_directory

Block = bytes | memoryview

BLOCK_BYTES = 1 << 20

_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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


def sync_tree(folder: Path) -> None:
    """Make every file's name below a folder durable; their content is already."""
    for path, _, _ in os.walk(folder, topdown=False):
        fsync_directory(Path(path))


def _blocks(path: Path, file: File, backup: str) -> Iterator[Block]:
    with os_errors_explained(path.parent), _open(path, file, backup) as source:
        while block := source.read(BLOCK_BYTES):
            yield block


def _open(path: Path, file: File, backup: str) -> BinaryIO:
    try:
        return path.open("rb")
    except _MISSING:
        raise damaged_error(backup, f"{file.path} is missing") from None
