"""Folders for storages: with short paths, because a socket's is limited, and open to every user."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness import shared_memory

# Storages are many, and what a real disk does is asked by the tests of the image.
MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 4 << 30
DISK = Path("/tmp")


@contextmanager
def short_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that every user may enter, in memory if that is roomy; removed with all it holds."""
    folder = Path(tempfile.mkdtemp(prefix="ap-", dir=parent or _roomiest()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shared_memory.remove_left(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _roomiest() -> Path:
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES
    return MEMORY if roomy else DISK
