"""Who opens which file: inotify(7). It tells of other containers too, and of the host."""

import ctypes
import os
import struct
from pathlib import Path

OPENED = 0x20
MOVED_TO = 0x80

# What was watched is gone.
_IGNORED = 0x8000
_HEADER = struct.Struct("iIII")
_READ_BYTES = 1 << 16


class Watcher:
    """Tells what happens to the files and folders it was given. `fileno` is for select.

    Raises OSError where the kernel has no more watches.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = self._check(self._libc.inotify_init1(flags))
        self._watched: dict[int, Path] = {}

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        """The descriptor; it can be read when something has happened."""
        return self._descriptor

    def watch(self, path: Path, events: int) -> None:
        """Tell when one of these events happens to a file, or to what is in a folder."""
        added = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), events)
        self._watched[self._check(added)] = path

    def happened(self) -> list[tuple[Path, str, int]]:
        """Every event since the last call: the path that was given, a name in that folder, what."""
        try:
            content = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        found, position = [], 0
        while position < len(content):
            watch, events, _, length = _HEADER.unpack_from(content, position)
            start = position + _HEADER.size
            name = os.fsdecode(content[start : start + length].rstrip(b"\0"))
            if watch in self._watched and not events & _IGNORED:
                found.append((self._watched[watch], name, events & (OPENED | MOVED_TO)))
            position = start + length
        return found

    def _check(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
