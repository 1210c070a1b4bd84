"""Watches for the platform's copy, and closes the hook's window when it has passed."""

from contextlib import suppress

from appliance.inotify import MOVED_TO, OPENED, Watcher
from appliance.postgres import hook_window
from appliance.storage import Storage


class WindowWatch:
    """One container's look-out; every container has one, and whichever sees it closes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._began = False
        self._watcher: Watcher | None = None
        # Without it a window stays open until its time is over: the safe side.
        with suppress(OSError):
            self._watcher = Watcher()
            self._watcher.watch(storage.backups, MOVED_TO)
        self._arm()

    @property
    def descriptors(self) -> list[int]:
        """What to wait for, with select."""
        return [self._watcher.fileno()] if self._watcher else []

    def seconds_left(self) -> float | None:
        """Until an open window is closed in any case; None if none is open."""
        if not hook_window.is_open(self._storage):
            return None
        return max(0.0, hook_window.LONGEST_S - hook_window.seconds_open(self._storage))

    def look(self) -> bool:
        """See what has happened; returns whether the window was closed now."""
        passed = self._has_passed()
        if passed or self.seconds_left() == 0:
            hook_window.close(self._storage)
            self._began = False
            return True
        return False

    def _has_passed(self) -> bool:
        passed = False
        for path, name in self._watcher.happened() if self._watcher else ():
            if path == self._storage.backups:
                if name == self._storage.hook_backup.name:
                    self._arm()
                    passed = False
            elif path == self._storage.hook_backup:
                self._began = self._began or name == hook_window.MANIFEST
            elif name == self._storage.hook_window.name:
                passed = passed or self._began
        return passed

    def _arm(self) -> None:
        """Watch from the moment when the dump is in its place; its marks come after that."""
        self._began = False
        if self._watcher and self._storage.hook_backup.exists():
            with suppress(OSError):
                self._watcher.watch(self._storage.hook_backup, OPENED)
                self._watcher.watch(self._storage.run, OPENED)
