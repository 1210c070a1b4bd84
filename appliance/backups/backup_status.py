"""The status of backups: the last one, and the last that was verified, for everyone to read.

For people and monitoring, never the truth: that is in the backups themselves. The fields are those
of the file, where a verification is a `proof`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from appliance.storage.lock import now as now_as_text
from appliance.storage.paths import Storage
from appliance.system.files import write_json
from appliance.system.log import write_line

_FORMAT = 1
_PROGRAM = "backup"

Value = TypeVar("Value")


@dataclass(frozen=True)
class LastBackup:
    """The last backup: `at` is ISO 8601 in UTC, `size` in bytes, `destinations` by name."""

    name: str
    at: str
    size: int
    destinations: tuple[str, ...]


@dataclass(frozen=True)
class LastFailure:
    """Why the last one was not made, `at` an ISO 8601 time in UTC."""

    at: str
    message: str


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

    @classmethod
    def passed(cls, name: str, tables: int, rows: int, seconds: float) -> "Verification":
        """It was as it said, just now."""
        return cls(name, now_as_text(), True, tables, rows, round(seconds, 1), "")

    @classmethod
    def failed(cls, name: str, message: str, seconds: float) -> "Verification":
        """It was not, just now."""
        return cls(name, now_as_text(), False, 0, 0, round(seconds, 1), message)


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

    def with_verification(self, proof: Verification) -> "BackupStatus":
        """A trial restore ended."""
        return replace(self, proof=proof, proven=proof if proof.ok else self.proven)

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
    try:
        document = json.loads(storage.backup_status.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            return BackupStatus()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return BackupStatus()
    return BackupStatus(
        backup=_entry(document, "backup", _backup),
        failure=_entry(document, "failure", _failure),
        proof=_entry(document, "proof", _verification),
        proven=_entry(document, "proven", _verification),
    )


def record_backup(storage: Storage, backup: LastBackup) -> None:
    """Record a backup that was made. Call it while holding the lock on storage.backup_lock."""
    _write(storage, read(storage).with_backup(backup))


def record_failure(storage: Storage, message: str) -> None:
    """Record that one could not be made just now, and why. Call it while holding the lock."""
    _write(storage, replace(read(storage), failure=LastFailure(now_as_text(), message)))


def record_verification(storage: Storage, proof: Verification) -> None:
    """Record the result of a trial restore. Call it while holding the lock."""
    _write(storage, read(storage).with_verification(proof))


def record_removal(storage: Storage, name: str, newest: LastBackup | None) -> None:
    """Record that a backup is gone, and which is the newest now. Call it while holding the lock."""
    before = read(storage)
    after = before.without(name, newest)
    if after != before:
        _write(storage, after)


def _removed(proof: Verification | None, name: str) -> Verification | None:
    return replace(proof, removed=True) if proof and proof.name == name else proof


def _write(storage: Storage, notes: BackupStatus) -> None:
    try:
        write_json(storage.backup_status, {"format": _FORMAT, **asdict(notes)})
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


def _entry(
    document: dict[str, Any], name: str, parse: Callable[[dict[str, Any]], Value]
) -> Value | None:
    try:
        return parse(document[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _backup(entry: dict[str, Any]) -> LastBackup:
    destinations = tuple(_a(str, name) for name in entry["destinations"])
    return LastBackup(_a(str, entry["name"]), _time(entry), _a(int, entry["size"]), destinations)


def _failure(entry: dict[str, Any]) -> LastFailure:
    return LastFailure(_time(entry), _a(str, entry["message"]))


def _verification(entry: dict[str, Any]) -> Verification:
    return Verification(
        _a(str, entry["name"]),
        _time(entry),
        _a(bool, entry["ok"]),
        _a(int, entry["tables"]),
        _a(int, entry["rows"]),
        _seconds(entry),
        _a(str, entry["message"]),
        _a(bool, entry.get("removed", False)),
    )


def _seconds(entry: dict[str, Any]) -> float:
    seconds = float(entry["seconds"])
    if not math.isfinite(seconds):
        raise ValueError(seconds)
    return seconds


def _time(entry: dict[str, Any]) -> str:
    text = _a(str, entry["at"])
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(text)
    return text


def _a(kind: type[Value], value: Any) -> Value:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value
