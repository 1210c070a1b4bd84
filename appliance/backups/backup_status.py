"""The status of backups: the last one, and the last that was verified, for everyone to read.

For people and monitoring, never the truth: that is in the backups themselves. The fields are those
of the file, where a verification is a `proof`.
"""

import math
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from appliance.storage.paths import Storage
from appliance.system import clock, notes
from appliance.system.log import write_line

_PROGRAM = "backup"


@dataclass(frozen=True)
class LastBackup:
    """The last backup: `at` is ISO 8601 in UTC, `size` in bytes, `destinations` by name."""

    name: str
    at: str
    size: int
    destinations: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for what is no time."""
        _check_time(self.at)


@dataclass(frozen=True)
class LastFailure:
    """Why the last one was not made, `at` an ISO 8601 time in UTC."""

    at: str
    message: str

    def __post_init__(self) -> None:
        """Raises ValueError for what is no time."""
        _check_time(self.at)


@dataclass(frozen=True)
class Verification:
    """A backup that was restored to see what is in it; `ok` is false if it was not what it said.

    `at` is ISO 8601 in UTC; it took `seconds`. `removed`: that backup is gone since.
    """

    name: str
    at: str
    ok: bool
    tables: int
    rows: int
    seconds: float
    message: str
    removed: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what is no time, nor a number of seconds."""
        _check_time(self.at)
        if not math.isfinite(self.seconds):
            raise ValueError(self.seconds)

    @classmethod
    def passed(cls, name: str, tables: int, rows: int, seconds: float) -> "Verification":
        """It was as it said, just now."""
        return cls(name, clock.timestamp(), True, tables, rows, round(seconds, 1), "")

    @classmethod
    def failed(cls, name: str, message: str, seconds: float) -> "Verification":
        """It was not, just now."""
        return cls(name, clock.timestamp(), False, 0, 0, round(seconds, 1), message)


@dataclass(frozen=True)
class BackupStatus:
    """What is known. `failure` is what went wrong since the last `backup` was made, `proof` the
    last one of a backup that is there or was good, `proven` the last that was ok.
    """

    backup: LastBackup | None = None
    failure: LastFailure | None = None
    proof: Verification | None = None
    proven: Verification | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is known to be wrong."""
        return self.failure is None and (self.proof is None or self.proof.ok)

    @property
    def unverifiable(self) -> str | None:
        """The backup whose last verification failed, if that is so."""
        return self.proof.name if self.proof and not self.proof.ok else None

    def with_backup(self, backup: LastBackup) -> "BackupStatus":
        """A backup was made: what failed before is over."""
        return replace(self, backup=backup, failure=None)

    def with_verification(self, last: Verification) -> "BackupStatus":
        """A trial restore ended."""
        return replace(self, proof=last, proven=last if last.ok else self.proven)

    def without(self, name: str, newest: LastBackup | None) -> "BackupStatus":
        """A backup was removed; of those that are left `newest` is the newest.

        That it restored stays worth knowing, that it did not is no trouble any more.
        """
        proven = _removed(self.proven, name)
        unverifiable = self.proof is not None and self.proof.name == name and not self.proof.ok
        return replace(
            self,
            backup=newest if self.backup and self.backup.name == name else self.backup,
            proof=proven if unverifiable else _removed(self.proof, name),
            proven=proven,
        )

    def to_json(self, now: datetime) -> dict[str, Any]:
        """For programs; `age_s` are seconds until `now`, which has a time zone."""
        return {
            "last_backup": _with_age(self.backup, now),
            "last_failure": _with_age(self.failure, now),
            "last_proof": _with_age(self.proof, now),
            "last_verified": _with_age(self.proven, now),
        }


def read(storage: Storage) -> BackupStatus:
    """Read the status; what cannot be read counts as unknown."""
    note = notes.read(storage.backup_status)
    return BackupStatus(
        backup=notes.parse_or_none(LastBackup, note.get("backup")),
        failure=notes.parse_or_none(LastFailure, note.get("failure")),
        proof=notes.parse_or_none(Verification, note.get("proof")),
        proven=notes.parse_or_none(Verification, note.get("proven")),
    )


def record_backup(storage: Storage, backup: LastBackup) -> None:
    """Record a backup that was made. Call it while holding the lock on storage.backup_lock."""
    _write(storage, read(storage).with_backup(backup))


def record_failure(storage: Storage, message: str) -> None:
    """Record that one could not be made just now, and why. Call it while holding the lock."""
    _write(storage, replace(read(storage), failure=LastFailure(clock.timestamp(), message)))


def record_verification(storage: Storage, verification: Verification) -> None:
    """Record the result of a trial restore. Call it while holding the lock."""
    _write(storage, read(storage).with_verification(verification))


def record_removal(storage: Storage, name: str, newest: LastBackup | None) -> None:
    """Record that a backup is gone, and which is the newest now. Call it while holding the lock."""
    before = read(storage)
    after = before.without(name, newest)
    if after != before:
        _write(storage, after)


def _removed(verification: Verification | None, name: str) -> Verification | None:
    if verification is None or verification.name != name:
        return verification
    return replace(verification, removed=True)


def _write(storage: Storage, status: BackupStatus) -> None:
    try:
        notes.write(storage.backup_status, asdict(status))
    except OSError as error:
        # What they tell of has happened all the same.
        write_line(_PROGRAM, f"{storage.backup_status} cannot be written: {error.strerror}")


def _with_age(
    entry: LastBackup | LastFailure | Verification | None, now: datetime
) -> dict[str, Any] | None:
    if entry is None:
        return None
    age = (now - datetime.fromisoformat(entry.at)).total_seconds()
    return {**asdict(entry), "age_s": max(0, int(age))}


def _check_time(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(text)
