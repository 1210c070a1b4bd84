"""Which backups go, so that a number of them stays. Pure functions."""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from appliance.backups.backup_errors import BadRequestError

_GENERATED = r"appliance-[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}-[0-9a-f]{4}"


class Prunable(Protocol):
    """A backup in a list; a Manifest is one. `created_at` is ISO 8601, None if it is damaged."""

    @property
    def name(self) -> str:
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
        and (is_generated(backup.name) or not generated_only)
    ]
    counted.sort(key=lambda found: found[:2])
    return [backup for _, name, backup in counted[:-keep] if name not in spare]


def is_generated(name: str) -> bool:
    """Whether this is a name as `backup_name.generate` makes them.

    >>> is_generated("appliance-2026-11-20-130000-0a1b"), is_generated("before-audit")
    (True, False)
    """
    return re.fullmatch(_GENERATED, name) is not None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
