"""Which backups go, so that a number of them stays. Pure functions."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from appliance.backups.backup_errors import BadRequestError
from appliance.backups.format.backup_name import BackupName


class Prunable(Protocol):
    """A backup in a list; a Manifest is one. `created_at` is ISO 8601, None if it is damaged."""

    @property
    def name(self) -> BackupName:
        """Its name."""

    @property
    def created_at(self) -> str | None:
        """What time it holds the state of."""


AnyPrunable = TypeVar("AnyPrunable", bound=Prunable)


def to_prune(
    backups: Sequence[AnyPrunable], keep: int, *, generated_only: bool, spare: Collection[str] = ()
) -> list[AnyPrunable]:
    """The backups beyond the newest `keep`, oldest first; raises BadRequestError below 1.

    `generated_only` is for the schedule: what a user gave a name is neither counted nor pruned.
    One that is damaged is not either, ever: it may be all that is left of something. `spare` are
    names that stay besides; the one just made may look old, by a clock that was set back.
    """
    if keep < 1:
        raise BadRequestError(
            f"{keep} backups cannot be kept: keep at least 1.",
            "To remove a single backup, delete it by its name.",
        )
    counted = [
        (moment, backup.name, backup)
        for backup in backups
        if (moment := _moment(backup.created_at)) is not None
        and (backup.name.is_generated or not generated_only)
    ]
    counted.sort(key=lambda found: found[:2])
    return [backup for _, name, backup in counted[:-keep] if name not in spare]


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
