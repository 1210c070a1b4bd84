"""Names of backups: our own from the time, or the user's. Checked once, where they come in."""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime

from appliance.backups.backup_errors import BadRequestError

PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
# They are paths of the API.
RESERVED = frozenset({"prune", "verify"})

_GENERATED = r"appliance-[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}-[0-9a-f]{4}"


class BackupName(str):
    """A text that can be the name of a backup: one plain part of a path. Nothing else can be one.

    Raises BadRequestError for what cannot.

    >>> BackupName("before-audit.2")
    'before-audit.2'
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "BackupName":
        """Check the text."""
        if not is_name(text):
            raise BadRequestError(
                f"{text[:80]!r} cannot be the name of a backup.",
                "Use 1 to 128 letters, digits, dots, dashes and underscores, and no dot at the "
                f"start{' (this one is taken)' if text in RESERVED else ''}.",
            )
        return super().__new__(cls, text)

    @classmethod
    def generate(cls, now: datetime) -> "BackupName":
        """`appliance-YYYY-MM-DD-HHMMSS-xxxx`, `now` in UTC; the end keeps two of a second apart."""
        return cls(f"appliance-{now:%Y-%m-%d-%H%M%S}-{secrets.token_hex(2)}")

    @property
    def is_generated(self) -> bool:
        """Whether it is as `generate` makes them.

        >>> BackupName("appliance-2026-11-20-130000-0a1b").is_generated
        True
        """
        return re.fullmatch(_GENERATED, self) is not None


def is_name(text: str) -> bool:
    """Whether a backup may be called so."""
    return re.fullmatch(PATTERN, text) is not None and text not in RESERVED


def names_among(texts: Iterable[str]) -> list[BackupName]:
    """Those of the texts that can be names, in order: what else lies there is somebody else's."""
    return [BackupName(text) for text in texts if is_name(text)]
