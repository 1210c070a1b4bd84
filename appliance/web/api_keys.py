"""API keys: `ap_<public id>_<secret>`. The public id finds the row, the secret proves the right.

A secret is 32 random bytes, so its plain SHA-256 cannot be guessed: slow, salted hashes are for
passwords, which people choose.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from appliance.database.connect import Connection
from appliance.database.pipeline import Query, Rows
from appliance.errors import ApplianceError, ExitCode

NAME_LIMIT = 100

_KEY = re.compile(r"ap_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_FIND = """
    SELECT id, secret_hash, name, admin FROM appliance.api_keys
    WHERE public_id = $1 AND revoked_at IS NULL
"""
_COLUMNS = "public_id, name, created_at, revoked_at, admin"


@dataclass(frozen=True)
class Key:
    """A key as people may see it. `public_id` is the middle part of its text."""

    public_id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None
    admin: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key a request came with. `admin`: it may do what is not about the app's data."""

    id: int
    name: str
    admin: bool


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """What a request offers as proof."""

    public_id: str
    secret_hash: bytes


def create(connection: Connection, name: str, *, admin: bool = False) -> str:
    """Make a key and return its text, which is not kept; names are unique among live keys."""
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable() or name != name.strip():
        raise ApplianceError(
            f"{name!r} cannot be the name of a key.",
            f"Use 1 to {NAME_LIMIT} printable characters.",
            ExitCode.USAGE,
        )
    public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    made = connection.execute(
        "INSERT INTO appliance.api_keys (public_id, name, secret_hash, admin) "
        "VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING 1",
        (public_id, name, _hash(secret), admin),
    ).fetchone()
    if made is None:
        raise ApplianceError(
            f"A key named {name!r} exists already.",
            f"Choose another name, or revoke it first: appliance keys revoke {name}",
        )
    return f"ap_{public_id}_{secret}"


def list_keys(connection: Connection) -> list[Key]:
    """Every key, the oldest first, revoked ones too."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM appliance.api_keys ORDER BY id")  # noqa: S608 - a constant
    return [Key(*row) for row in rows]


def revoke(connection: Connection, name_or_public_id: str) -> Key:
    """Revoke a live key, at once and for ever."""
    if not name_or_public_id.isprintable():
        raise ApplianceError(
            f"There is no live key {name_or_public_id!r}.", "See `appliance keys list`."
        )
    row = connection.execute(
        "UPDATE appliance.api_keys SET revoked_at = now() WHERE id = ("  # noqa: S608 - a constant
        "SELECT id FROM appliance.api_keys "
        "WHERE revoked_at IS NULL AND %(key)s IN (public_id, name) "
        f"ORDER BY public_id = %(key)s DESC LIMIT 1) RETURNING {_COLUMNS}",
        {"key": name_or_public_id},
    ).fetchone()
    if row is None:
        raise ApplianceError(
            f"There is no live key {name_or_public_id!r}.", "See `appliance keys list`."
        )
    return Key(*row)


def read_key(text: str) -> ApiCredentials | None:
    """Read a key's text; None if it is not one."""
    match = _KEY.fullmatch(text)
    return ApiCredentials(match[1], _hash(match[2])) if match else None


def find_caller(credentials: ApiCredentials) -> Query[Caller | None]:
    """Ask whose the key is; None if it is not live."""

    def read(rows: Rows) -> Caller | None:
        for number, secret_hash, name, admin in rows:
            if hmac.compare_digest(secret_hash, credentials.secret_hash):
                return Caller(number, name, admin)
        return None

    return Query(_FIND, (credentials.public_id,), read)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()
