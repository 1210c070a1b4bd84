"""Folders for storages: with short paths, because a socket's is limited, and open to every user."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder below /tmp that every user may enter; it is removed with all it holds."""
    folder = Path(tempfile.mkdtemp(prefix="ap-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
