"""Sees when the storage is copied, and closes the hook's window when a copy has passed."""

from contextlib import suppress
from dataclasses import dataclass

from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from appliance.system.inotify import MOVED_TO, OPENED, Watcher


@dataclass(frozen=True)
class Seen:
    """`begun`: somebody came to the first of our files. `closed`: the window was closed now."""

    begun: bool = False
    closed: bool = False


class CopyWatch:
    """One container's look-out; every container has one, and whichever sees it closes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._began = False
        self._watcher: Watcher | None = None
        # Without it a window stays open until its time is over: the safe side.
        with suppress(OSError):
            self._watcher = Watcher()
            self._watcher.watch(storage.backups, MOVED_TO | OPENED)
        self._arm()

    @property
    def descriptors(self) -> list[int]:
        """What to wait for, with select."""
        return [self._watcher.fileno()] if self._watcher else []

    def seconds_left(self) -> float | None:
        """Until an open window is closed in any case; None if none is open."""
        if not copy_detection.is_open(self._storage):
            return None
        return max(0.0, copy_detection.LONGEST_S - copy_detection.seconds_open(self._storage))

    def look(self) -> Seen:
        """See what has happened, and close the window if that is due."""
        begun, passed = self._happened()
        closes = passed or self.seconds_left() == 0
        if closes:
            copy_detection.close_window(self._storage)
            self._began = False
        return Seen(begun, closes)

    def _happened(self) -> tuple[bool, bool]:
        """Whether a copy has begun, and whether one has passed both marks."""
        begun = passed = False
        for path, name, event in self._watcher.happened() if self._watcher else ():
            if path == self._storage.backups:
                begun = begun or (name == self._storage.generation_first.name and event == OPENED)
                if name == self._storage.hook_backup.name and event == MOVED_TO:
                    self._arm()
                    passed = False
            elif path == self._storage.hook_backup:
                self._began = self._began or name == copy_detection.MANIFEST
            elif name == self._storage.hook_window.name:
                passed = passed or self._began
        return begun, passed

    def _arm(self) -> None:
        """Watch from the moment when the dump is in its place; its marks come after that."""
        self._began = False
        if self._watcher and self._storage.hook_backup.exists():
            with suppress(OSError):
                self._watcher.watch(self._storage.hook_backup, OPENED)
                self._watcher.watch(self._storage.run, OPENED)
