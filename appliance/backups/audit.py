"""Who did what with backups: one JSON document a line, only ever added to."""

import errno
import json
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from appliance.backups import backup_status, exclusive
from appliance.backups.backup_errors import BackupError, ConflictError
from appliance.errors import ApplianceError
from appliance.storage.paths import Storage
from appliance.system import clock
from appliance.system.files import fsync_directory, give_to_owner_of

Fact = str | int | float | bool | list[str] | None

# What everyone is told of if it fails: there is no new backup then, or not everywhere.
_CREATING = frozenset({"create", "complete"})
# Reading too: how the last line ends is looked at.
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def audited(
    storage: Storage, actor: str, action: str, name: str | None, **facts: int
) -> Iterator[None]:
    """Run the block while nobody else works on backups, and record who did it and how it ended."""
    try:
        with exclusive.holding(storage, action), _recording_failure(storage, action):
            yield
    except BaseException as error:
        # What is wrong comes first; that it cannot be written down, second.
        with suppress(ApplianceError):
            message = _message(error)
            record(storage, action, actor, name=name, ok=False, message=message, **facts)
        raise
    record(storage, action, actor, name=name, ok=True, **facts)


def record(storage: Storage, action: str, actor: str, **facts: Fact) -> None:
    """Add that `actor` did `action`, durably.

    Actions are create, complete, verify, restore, prune, delete, drill and those of hooks; an actor
    is `command line (user root)`, `key NAME`, `schedule` or `platform`. Usual facts are name, ok
    and message. Raises BackupError if it cannot be added.
    """
    line = _line({"at": clock.timestamp(), "action": action, "actor": actor, **facts})
    try:
        descriptor = os.open(storage.backup_audit, _APPEND, 0o640)
        try:
            _append(storage, descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BackupError(
            f"The audit {storage.backup_audit} cannot be written: {error.strerror}.",
            "Make room on the disk; the audit must be a plain file that this user may write, not "
            "a link.",
        ) from error


def tail(storage: Storage, count: int) -> list[dict[str, Any]]:
    """The last entries, oldest first. What is not whole is left out, after a power cut say.

    Raises BackupError if this user may not read it.
    """
    try:
        with storage.backup_audit.open("rb") as file:
            entries = (entry for line in file if (entry := _parsed(line)) is not None)
            return list(deque(entries, maxlen=max(0, count)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackupError(
            f"The audit {storage.backup_audit} cannot be read: {error.strerror}.",
            "Ask as root, or as the user that runs the database.",
        ) from error


@contextmanager
def _recording_failure(storage: Storage, action: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if action in _CREATING and not isinstance(error, ConflictError):
            backup_status.record_failure(storage, _message(error))
        raise


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return " ".join(["Broken off.", *getattr(error, "__notes__", [])])
    return str(error) or repr(error)


def _append(storage: Storage, descriptor: int, line: str) -> None:
    status = os.fstat(descriptor)
    # Root must not be led to another file: the folder belongs to the database's user.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    if status.st_size == 0:
        _prepare(storage, descriptor)
    torn = status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n"
    content = f"{chr(10) if torn else ''}{line}\n".encode("ascii")
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def _prepare(storage: Storage, descriptor: int) -> None:
    os.fchmod(descriptor, 0o640)
    # Whoever comes first: the database's user adds to it, too.
    give_to_owner_of(storage.run, descriptor)
    fsync_directory(storage.run)


def _line(entry: dict[str, Any]) -> str:
    # JSON leaves one control character as it is.
    return json.dumps(entry).replace("\x7f", "\\u007f")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
