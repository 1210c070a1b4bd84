"""Names of backups: our own from the time, or the user's. Pure functions."""

import re
import secrets
from datetime import datetime

from appliance.backups.backup_errors import BadRequestError

PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
# They are paths of the API.
RESERVED = frozenset({"prune", "verify"})


def generate(now: datetime) -> str:
    """`appliance-YYYY-MM-DD-HHMMSS-xxxx`; `now` is in UTC, the end keeps two of a second apart."""
    return f"appliance-{now:%Y-%m-%d-%H%M%S}-{secrets.token_hex(2)}"


def check(name: str) -> str:
    """Return the name if it can be one; raises BadRequestError.

    >>> check("before-audit.2")
    'before-audit.2'
    """
    if re.fullmatch(PATTERN, name) and name not in RESERVED:
        return name
    raise BadRequestError(
        f"{name[:80]!r} cannot be the name of a backup.",
        "Use 1 to 128 letters, digits, dots, dashes and underscores, and no dot at the start"
        f"{' (this one is taken)' if name in RESERVED else ''}.",
    )
