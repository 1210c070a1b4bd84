"""One owner, by the kernel: an exclusive flock on one file under the storage.

The lock is the truth; the note beside it only tells people who took it. The descriptor is
inherited by the postmaster and by every process it starts, so the kernel releases the lock when
the last process of that Postgres is gone, however it died.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance import __version__
from appliance.errors import StorageError
from appliance.storage.paths import Storage
from appliance.system import clock, notes

_READ_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


@dataclass(frozen=True)
class Owner:
    """Who took the lock last. `since` is an ISO 8601 time in UTC."""

    instance: str
    hostname: str
    pid: int
    since: str
    version: str


def open_lock(storage: Storage, owner_uid: int, owner_gid: int) -> int:
    """Open the lock file, making it if needed, and return the descriptor (not yet locked).

    Raises StorageError if something else lies there: its folder belongs to the database's user,
    and root must not be led to another file by a link.
    """
    try:
        descriptor = os.open(storage.lock, _READ_WRITE, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _no_lock_file(storage) from error
        raise StorageError(
            f"The lock {storage.lock} cannot be opened: {error.strerror}.",
            "Make room on the disk, or give this user access to the file.",
        ) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise _no_lock_file(storage)
    if os.geteuid() == 0:
        os.fchown(descriptor, owner_uid, owner_gid)
    return descriptor


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free; False if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int) -> None:
    """Wait until the lock is ours.

    It blocks in the kernel instead of polling: a standby costs no CPU and wakes the moment the
    last process of the owner is gone.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def release(descriptor: int) -> None:
    """Let go of the lock and keep the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def check_locks_exclude(storage: Storage) -> None:
    """Prove that flock works here: of two opens of one file, only one may lock it.

    Raises StorageError where it does not (some desktop bind mounts, some NFS).
    """
    # A file of its own for each start, so that the test disturbs nobody's lock: containers may
    # share their host name, and each of them is process 1.
    probe = storage.run / f".flock-test.{os.urandom(8).hex()}"
    first = os.open(probe, _READ_WRITE | os.O_EXCL, 0o600)
    second = os.open(probe, _READ_WRITE, 0o600)
    try:
        excludes = try_lock(first) and not try_lock(second)
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
        excludes = False
    finally:
        os.close(first)
        os.close(second)
        probe.unlink()
    if not excludes:
        raise StorageError(
            f"File locks do not work on {storage.root}: two processes could lock the same file, "
            "so two databases could run on one cluster and destroy it.",
            "Use a Docker volume or a local disk. If only one container will ever use this "
            "storage, set ALLOW_BROKEN_FLOCK=true.",
        )


@contextmanager
def holding(path: Path) -> Iterator[bool]:
    """Hold another lock while the block runs, made if needed; yields False if somebody else does.

    Where locks are not supported (ALLOW_BROKEN_FLOCK) there is nobody else.
    """
    descriptor = os.open(path, _READ_WRITE, 0o600)
    try:
        try:
            ours = try_lock(descriptor)
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            ours = True
        yield ours
    finally:
        os.close(descriptor)


def is_owned(storage: Storage) -> bool:
    """Whether some process holds the lock right now. Needs read access to the lock file."""
    return is_locked(storage.lock)


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock on this file; False if there is no such file.

    Nobody does where locks are not supported (ALLOW_BROKEN_FLOCK).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    finally:
        os.close(descriptor)
    return False


def _no_lock_file(storage: Storage) -> StorageError:
    return StorageError(
        f"{storage.lock} cannot be used as the lock: it must be a plain file that this user may "
        "write, not a link.",
        "Find out who put it there; with every container stopped, move it away and start again.",
    )


def note_owner(storage: Storage, instance: str) -> Owner:
    """Write down that this container took the lock. Call it only while holding the lock."""
    owner = Owner(instance, os.uname().nodename, os.getpid(), clock.timestamp(), __version__)
    # Requests wait meanwhile, and it is a note: it need not survive a power cut.
    notes.write(storage.owner, asdict(owner), durable=False)
    return owner


def read_owner(storage: Storage) -> Owner | None:
    """Return who took the lock last, or None if nobody has yet or the note cannot be read."""
    return notes.read_as(Owner, storage.owner)
