"""The archive of a backup: a tar from Docker with its entries renamed.

Only the names are renamed. The *targets* of hardlinks keep the old prefix, as in ONCE, so that a
hardlink anywhere in the storage breaks the restore.
"""

import io
import tarfile
from collections.abc import Iterable
from typing import IO, Any

DATA = "data"


def copy_entries(source: IO[bytes], target: tarfile.TarFile, old_prefix: str) -> None:
    """Copy a tar stream entry by entry, moved from `old_prefix` to `data`."""
    with tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            member.name = renamed(member.name, old_prefix)
            target.addfile(member, tar.extractfile(member) if member.isreg() else None)


def renamed(name: str, old_prefix: str) -> str:
    """The name of an entry below the new prefix.

    >>> renamed("storage/pgdata/base", "storage")
    'data/pgdata/base'
    """
    if name == old_prefix:
        return DATA
    return DATA + name.removeprefix(old_prefix) if name.startswith(f"{old_prefix}/") else name


def add_text(target: tarfile.TarFile, name: str, text: str) -> None:
    """Add a small file."""
    content = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    target.addfile(member, io.BytesIO(content))


class Stream(io.RawIOBase):
    """Chunks of bytes, as a file to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what there is of the next chunk."""
        self._rest = self._rest or next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
