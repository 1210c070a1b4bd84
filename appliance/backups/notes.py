"""The last backup and the last proven restore, written down for everyone to read.

Notes for people and for monitoring, never the truth: that is in the backups themselves.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from appliance.files import write_json
from appliance.log import write_line
from appliance.postgres.ownership import now as now_as_text
from appliance.storage import Storage

_FORMAT = 1
_PROGRAM = "backup"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Backup:
    """A backup that was made: `at` is ISO 8601 in UTC, `size` in bytes, `destinations` by name."""

    name: str
    at: str
    size: int
    destinations: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A backup that was not made, `at` an ISO 8601 time in UTC."""

    at: str
    message: str


@dataclass(frozen=True)
class Proof:
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
    def good(cls, name: str, tables: int, rows: int, seconds: float) -> "Proof":
        """It was as it said, just now."""
        return cls(name, now_as_text(), True, tables, rows, round(seconds, 1), "")

    @classmethod
    def bad(cls, name: str, message: str, seconds: float) -> "Proof":
        """It was not, just now."""
        return cls(name, now_as_text(), False, 0, 0, round(seconds, 1), message)


@dataclass(frozen=True)
class Notes:
    """What is known. `failure` is what went wrong since the last `backup` was made, `proof` the
    last one of a backup that is there or was good, `proven` the last that was ok.
    """

    backup: Backup | None = None
    failure: Failure | None = None
    proof: Proof | None = None
    proven: Proof | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong as far as they tell."""
        return self.failure is None and (self.proof is None or self.proof.ok)

    @property
    def disproven(self) -> str | None:
        """The backup that the last trial restore has refused, if it has."""
        return self.proof.name if self.proof and not self.proof.ok else None

    def with_backup(self, backup: Backup) -> "Notes":
        """A backup was made: what failed before is over."""
        return replace(self, backup=backup, failure=None)

    def with_proof(self, proof: Proof) -> "Notes":
        """A trial restore ended."""
        return replace(self, proof=proof, proven=proof if proof.ok else self.proven)

    def without(self, name: str, newest: Backup | None) -> "Notes":
        """A backup was removed; of those that are left `newest` is the newest.

        That it restored stays worth knowing, that it did not is no trouble any more.
        """
        proven = _removed(self.proven, name)
        disproven = self.proof is not None and self.proof.name == name and not self.proof.ok
        return replace(
            self,
            backup=newest if self.backup and self.backup.name == name else self.backup,
            proof=proven if disproven else _removed(self.proof, name),
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


def read(storage: Storage) -> Notes:
    """Read the notes; what cannot be read is not there."""
    try:
        document = json.loads(storage.backup_notes.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            return Notes()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Notes()
    return Notes(
        backup=_entry(document, "backup", _backup),
        failure=_entry(document, "failure", _failure),
        proof=_entry(document, "proof", _proof),
        proven=_entry(document, "proven", _proof),
    )


def record_backup(storage: Storage, backup: Backup) -> None:
    """Note a backup that was made. Call it while holding the lock on storage.backup_lock."""
    _write(storage, read(storage).with_backup(backup))


def record_failure(storage: Storage, message: str) -> None:
    """Note that one could not be made just now, and why. Call it while holding the lock."""
    _write(storage, replace(read(storage), failure=Failure(now_as_text(), message)))


def record_proof(storage: Storage, proof: Proof) -> None:
    """Note what a trial restore has shown. Call it while holding the lock."""
    _write(storage, read(storage).with_proof(proof))


def record_removal(storage: Storage, name: str, newest: Backup | None) -> None:
    """Note that a backup is gone, and which is the newest now. Call it while holding the lock."""
    before = read(storage)
    after = before.without(name, newest)
    if after != before:
        _write(storage, after)


def _removed(proof: Proof | None, name: str) -> Proof | None:
    return replace(proof, removed=True) if proof and proof.name == name else proof


def _write(storage: Storage, notes: Notes) -> None:
    try:
        write_json(storage.backup_notes, {"format": _FORMAT, **asdict(notes)})
    except OSError as error:
        # What they tell of has happened all the same.
        write_line(_PROGRAM, f"{storage.backup_notes} cannot be written: {error.strerror}")


def _with_age(entry: Backup | Failure | Proof | None, now: datetime) -> dict[str, Any] | None:
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


def _backup(entry: dict[str, Any]) -> Backup:
    destinations = tuple(_a(str, name) for name in entry["destinations"])
    return Backup(_a(str, entry["name"]), _time(entry), _a(int, entry["size"]), destinations)


def _failure(entry: dict[str, Any]) -> Failure:
    return Failure(_time(entry), _a(str, entry["message"]))


def _proof(entry: dict[str, Any]) -> Proof:
    return Proof(
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
