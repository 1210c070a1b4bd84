"""Watches for the platform's copy, and closes the hook's window when it has passed."""

from contextlib import suppress

from appliance.inotify import MOVED_TO, OPENED, Watcher
from appliance.postgres import hook_window
from appliance.process import keep_open
from appliance.storage import Storage


class WindowWatch:
    """One container's look-out; every container has one, and whichever sees it closes."""

    def __init__(self, storage: Storage, inherited: str = "") -> None:
        """`inherited`: what `hand_on` gave in the program that this process was before."""
        self._storage = storage
        descriptor, _, began = inherited.partition(":")
        self._began = False
        self._watcher: Watcher | None = None
        # Without it a window stays open until its time is over: the safe side.
        with suppress(OSError):
            self._watcher = Watcher(int(descriptor) if descriptor else None)
            self._watcher.watch(storage.backups, MOVED_TO)
        self._arm()
        self._began = bool(began)

    def hand_on(self) -> str:
        """Let the program that this process becomes go on with it, and miss nothing."""
        if self._watcher is None:
            return ""
        keep_open(self._watcher.fileno())
        return f"{self._watcher.fileno()}:{'began' if self._began else ''}"

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
