"""The containers that share a storage: each has a folder there, and holds a lock in it.

The kernel says who lives, as it says who owns: the lock goes with the supervisor's process. What
lies in the folder are notes, for the container's own programs and for people.

Containers of other builds read them too, so the names of these files stay. They are written here
and nowhere else; all other paths of the volume are in storage/paths.py.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance import __version__
from appliance.errors import StorageError
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system import clock, notes
from appliance.system.system_users import SystemUser

_NOTE, _ALIVE = "instance.json", "alive.lock"
_WAITS, _REQUESTED, _HANDOFF_COMPLETE = "waits.json", "claimed", "settled"
_SOCKET = "steward.sock"
# In the container's own file system: it lives as long as the container, over all its restarts.
_STARTED = Path("/var/lib/appliance/started")
# A folder gets its name when it is locked. One without a name for that long was given up.
_UNNAMED_FOR_S = 60.0


@dataclass(frozen=True)
class Instance:
    """A container that runs. Times are ISO 8601 in UTC.

    `waits_since` is set while its Postgres program waits for the lock.
    """

    instance: str
    hostname: str
    version: str
    started_at: str
    waits_since: str | None


class InstanceDirectory:
    """The notes of one container: written by its own programs, read by anyone."""

    def __init__(self, storage: Storage, instance: str) -> None:
        self.path = storage.instances / instance

    @property
    def name(self) -> str:
        """The container's instance: 12 hexadecimal digits, new at each start."""
        return self.path.name

    @property
    def socket(self) -> Path:
        """Where the container's agent listens."""
        return self.path / _SOCKET

    def is_alive(self) -> bool:
        """Whether the container's supervisor runs, or is paused."""
        return lock.is_locked(self.path / _ALIVE)

    def note_waiting(self) -> None:
        """Say that this container's Postgres program is about to wait for the lock."""
        self._write(_WAITS, {"since": clock.timestamp()})

    def note_owning(self) -> None:
        """Say that it waits no more."""
        (self.path / _WAITS).unlink(missing_ok=True)

    def waits_since(self) -> str | None:
        """Since when the Postgres program waits for the lock, None if it does not."""
        since = self._read(_WAITS).get("since")
        return str(since) if since else None

    def note_request(self) -> None:
        """Say that this container has requested the database, which it does once in its life."""
        self._write(_REQUESTED, {"at": clock.timestamp()})

    def has_requested(self) -> bool:
        """Whether it has requested it before."""
        return (self.path / _REQUESTED).exists()

    def note_handoff_complete(self) -> None:
        """Say that the database stays where it is: this container may be called healthy."""
        self._write(_HANDOFF_COMPLETE, {"at": clock.timestamp()})

    def is_handoff_complete(self) -> bool:
        """Whether the container's part in the handoff is over."""
        return (self.path / _HANDOFF_COMPLETE).exists()

    def read(self) -> Instance | None:
        """Who it is; None if the notes cannot be read."""
        note = self._read(_NOTE)
        try:
            return Instance(
                self.name,
                note["hostname"],
                note["version"],
                note["started_at"],
                self.waits_since(),
            )
        except KeyError:
            return None

    def _write(self, name: str, facts: dict[str, str]) -> None:
        notes.write(self.path / name, facts)

    def _read(self, name: str) -> dict[str, str]:
        return notes.read(self.path / name)


def register(storage: Storage, instance: str, user: SystemUser) -> int:
    """Make this container's folder, locked; the descriptor returned must stay open for life.

    Folders of containers that are gone are removed; one without our lock is nobody's to judge.
    """
    _remove_the_dead(storage)
    unnamed = storage.instances / f".{instance}"
    try:
        descriptor = _make(unnamed)
        if os.geteuid() == 0:
            os.chown(unnamed, user.uid, user.gid)
        unnamed.rename(storage.instances / instance)
    except OSError as error:
        shutil.rmtree(unnamed, ignore_errors=True)
        raise StorageError(
            f"{storage.instances} cannot be written: {error.strerror}.",
            "Make room on the disk, or give this user write access to the folder.",
        ) from error
    return descriptor


def was_started_before(mark: Path = _STARTED) -> bool:
    """Whether this container was started before; from now on it was.

    A restarted container does not request the database: one that crashes again and again would move
    it each time.
    """
    if mark.exists():
        return True
    # Where the file system is read-only, each start counts as the first.
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return False


def living(storage: Storage) -> list[Instance]:
    """Every container that runs on this storage, the one that started first before the others."""
    alive = (InstanceDirectory(storage, path.name) for path in _folders(storage))
    found = [note for folder in alive if folder.is_alive() and (note := folder.read())]
    return sorted(found, key=lambda instance: (instance.started_at, instance.instance))


def _make(folder: Path) -> int:
    folder.mkdir()
    folder.chmod(0o755)
    descriptor = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    # Where locks do not work, the operator chose to go on with one container.
    with suppress(OSError):
        lock.try_lock(descriptor)
    note = {"hostname": os.uname().nodename, "version": __version__}
    notes.write(folder / _NOTE, {**note, "started_at": clock.timestamp()})
    return descriptor


def _folders(storage: Storage) -> Iterator[Path]:
    try:
        yield from (path for path in storage.instances.iterdir() if path.name[0] != ".")
    except FileNotFoundError:
        return


def _remove_the_dead(storage: Storage) -> None:
    for path in storage.instances.iterdir():
        if path.name[0] == "." and not _is_old(path):
            continue
        # What another build made has perhaps another lock; ours has this one from the first moment.
        if path.name[0] != "." and not (path / _ALIVE).exists():
            continue
        try:
            dead = not lock.is_locked(path / _ALIVE)
        except OSError:
            # Whoever cannot be asked may live.
            dead = False
        if dead:
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder; one that is removed in part has no name any more, and goes the next time."""
    if path.name[0] != ".":
        try:
            path = path.rename(path.with_name(f".{path.name}"))
        except OSError:
            return
    shutil.rmtree(path, ignore_errors=True)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _UNNAMED_FOR_S
    except FileNotFoundError:
        return False
