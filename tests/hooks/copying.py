"""The platform's copy of a storage: by name, file by file, while whatever runs goes on."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

Between = Callable[[Path], None]

_BLOCK_BYTES = 1 << 16


def copy(source: Path, target: Path, between: Between = lambda _: None) -> Path:
    """Copy as the platform's tar does; `between` is called before each entry with its path.

    Sockets and what vanishes are left out; owner and mode are kept, times cut to whole seconds; of
    a file that grows so much is taken as it had at first.
    """
    between(source)
    try:
        status = source.lstat()
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(status.st_mode):
        _copy_folder(source, target, between)
    elif stat.S_ISLNK(status.st_mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(status.st_mode):
        _copy_file(source, target, status.st_size)
    _describe(target, status)
    return target


def _copy_folder(source: Path, target: Path, between: Between) -> None:
    target.mkdir()
    try:
        names = sorted(os.listdir(source))  # noqa: PTH208 - names, in their order as bytes
    except FileNotFoundError:
        return
    for name in names:
        copy(source / name, target / name, between)


def _copy_file(source: Path, target: Path, size: int) -> None:
    try:
        with source.open("rb") as file, target.open("xb") as copied:
            while size and (block := file.read(min(size, _BLOCK_BYTES))):
                copied.write(block)
                size -= len(block)
    except FileNotFoundError:
        return


def _describe(target: Path, status: os.stat_result) -> None:
    if not target.exists() or target.is_symlink():
        return
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)
    target.chmod(stat.S_IMODE(status.st_mode))
    seconds = int(status.st_mtime)
    os.utime(target, (seconds, seconds))


def again(master: Path, target: Path) -> Path:
    """Another copy of a copy, for a test to break."""
    shutil.rmtree(target, ignore_errors=True)
    return copy(master, target)
