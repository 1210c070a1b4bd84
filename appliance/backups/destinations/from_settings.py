"""The destinations that the settings name."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from appliance.backups.backup_errors import BadRequestError
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.errors import SettingsError
from appliance.settings import Settings
from appliance.storage.paths import Storage

LOCAL = "local"

_BUCKET = r"[a-z0-9][a-z0-9._-]{1,62}"
_PREFIX = r"/?|(/[A-Za-z0-9._-]*[A-Za-z0-9_-])+/?"
_ENDPOINT = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[A-Za-z0-9._/-]*)?"
_REGION = r"[A-Za-z0-9-]{1,64}"
# What is not that would break a header.
_CREDENTIAL = r"[!-~]+"


def from_settings(settings: Settings, storage: Storage) -> dict[str, Destination]:
    """Every destination by its name, `local` first; nothing is opened yet.

    Raises SettingsError, and BadRequestError for a folder that cannot keep backups.
    """
    given = settings.backup_dir
    local = (
        FolderDestination(LOCAL, storage.backups)
        if given is None
        else folder(LOCAL, given, storage)
    )
    destinations: dict[str, Destination] = {LOCAL: local}
    for entry in filter(None, (settings.backup_destinations or "").split(",")):
        name, _, where = entry.strip().partition("=")
        if where.startswith("s3:"):
            destinations[name] = _s3(name, where, settings)
        else:
            destinations[name] = folder(name, Path(where), storage)
    return destinations


def select(
    settings: Settings, storage: Storage, names: Iterable[str], only: Path | None
) -> list[Destination]:
    """All of them, the named ones if there are names, or `only` a folder that is called `dir`."""
    every: dict[str, Destination] = (
        from_settings(settings, storage) if only is None else {"dir": folder("dir", only, storage)}
    )
    return choose(every, list(names) or every)


def folder(name: str, path: Path, storage: Storage) -> FolderDestination:
    """A folder that somebody named; raises BadRequestError if it is one of the database's own.

    It may be a mount. One that is missing is not made: this disk would be filled.
    """
    real = Path(os.path.realpath(path))
    if any(real.is_relative_to(own.resolve()) for own in (storage.pgdata, storage.run)):
        raise BadRequestError(
            f"The folder {path} cannot keep backups: the database has its own files there.",
            "Choose another folder.",
        )
    return FolderDestination(name, path.absolute(), make=False)


def choose(every: dict[str, Destination], names: Iterable[str]) -> list[Destination]:
    """Those of the names, each once; raises BadRequestError for one that is not configured."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in every:
            raise BadRequestError(
                f"There is no destination {name[:80]!r}.", f"There are: {', '.join(every)}."
            )
    return [every[name] for name in wanted]


def _s3(name: str, url: str, settings: Settings) -> Destination:
    parts = urlsplit(url)
    if not (re.fullmatch(_BUCKET, parts.netloc) and re.fullmatch(_PREFIX, parts.path)):
        raise _wrong(name, "it is not s3://bucket/prefix", "Use letters, digits, - _ and . only.")
    options = _options(name, parts)
    # The library weighs as much as all the rest of a backup; most have no bucket.
    from appliance.backups.destinations.bucket import S3Credentials
    from appliance.backups.destinations.s3 import S3Destination

    key, secret = _credentials(name, settings)
    credentials = S3Credentials(key, secret, settings.backup_s3_session_token)
    endpoint, region = options.get("endpoint"), options.get("region")
    return S3Destination(name, parts.netloc, parts.path, endpoint, region, credentials)


def _options(name: str, parts: SplitResult) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    unknown = sorted(set(options) - {"endpoint", "region"})
    if unknown or len(options) < len(pairs) or parts.fragment:
        what = f"{unknown[0][:40]!r} means nothing there" if unknown else "its end is ambiguous"
        raise _wrong(name, what, "Its URL may end in ?endpoint=https://host&region=name.")
    if not _is_endpoint(options.get("endpoint", "https://host")):
        raise _wrong(name, "its endpoint is no URL", "Write endpoint=https://host or http://host.")
    if not re.fullmatch(_REGION, options.get("region", "one")):
        raise _wrong(name, "its region is no name", "Write region=eu-central-1, or leave it out.")
    return options


def _is_endpoint(text: str) -> bool:
    try:
        port = urlsplit(text).port
    except ValueError:
        return False
    return port != 0 and bool(re.fullmatch(_ENDPOINT, text))


def _credentials(name: str, settings: Settings) -> tuple[str, str]:
    given = {
        "BACKUP_S3_ACCESS_KEY_ID": settings.backup_s3_access_key_id,
        "BACKUP_S3_SECRET_ACCESS_KEY": settings.backup_s3_secret_access_key,
        "BACKUP_S3_SESSION_TOKEN": settings.backup_s3_session_token or "none",
    }
    for variable, value in given.items():
        if not value:
            raise _wrong(name, f"{variable} is not set", f"Set {variable}, or {variable}_FILE.")
        if not re.fullmatch(_CREDENTIAL, value):
            raise _wrong(name, f"{variable} has odd characters", "Copy it again from its issuer.")
    return given["BACKUP_S3_ACCESS_KEY_ID"] or "", given["BACKUP_S3_SECRET_ACCESS_KEY"] or ""


def _wrong(name: str, what: str, hint: str) -> SettingsError:
    return SettingsError(f"The destination {name} in BACKUP_DESTINATIONS: {what}.", hint)
