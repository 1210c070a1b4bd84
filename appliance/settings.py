"""The environment contract: one typed schema, read once, every fault reported together.

A field's name in upper case is its variable; `NAME_FILE` names a file that holds the value. An
empty value counts as unset. This is the only module that reads the environment.
"""

import base64
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from appliance.errors import SettingsError
from appliance.storage import DEFAULT_ROOT

OUR_PREFIX = "APPLIANCE_"
SECRET_MIN_CHARACTERS = 32
SECRET_MIN_BITS = 120
PLACEHOLDERS = frozenset(
    "changeme change-me change_me secret password passw0rd example test placeholder todo "
    "your-secret-here your_secret_here your-secret-key replace-me replaceme insecure default "
    "xxx none null undefined".split()
)
# Names that other systems give a meaning we do not have yet, and what ignoring them would do.
RESERVED = {
    "DATABASE_URL": "this version always runs its own Postgres; your data would not go there",
    "CONTROL_DATABASE_URL": "this version has no tenants",
    "MULTI_TENANT": "this version has no tenants",
}
WITHOUT_EFFECT = (
    "CORS_ORIGINS EMAIL_FROM RESEND_API_KEY TURNSTILE_SECRET_KEY REDIS_URL SMTP_ADDRESS "
    "SMTP_PORT SMTP_USERNAME SMTP_PASSWORD MAILER_FROM_ADDRESS VAPID_PUBLIC_KEY "
    "VAPID_PRIVATE_KEY DISABLE_SSL RATE_LIMIT BACKUP_SCHEDULE BACKUP_RETENTION"
).split()
SET_BY_ONCE = frozenset(
    "SMTP_ADDRESS SMTP_PORT SMTP_USERNAME SMTP_PASSWORD MAILER_FROM_ADDRESS VAPID_PUBLIC_KEY "
    "VAPID_PRIVATE_KEY DISABLE_SSL".split()
)


@dataclass(frozen=True)
class Rule:
    """How a variable's text becomes a value: `parse` raises ValueError; `text` is for people."""

    text: str
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Variable:
    """What people need to know of one variable."""

    rule: Rule
    help: str
    secret: bool = False
    generated: bool = False


def _integer(low: int, high: int) -> Rule:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return Rule(f"a whole number from {low} to {high}", parse)


def _number(low: float, high: float) -> Rule:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return Rule(f"a number from {low:g} to {high:g}", parse)


def _boolean() -> Rule:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

    def parse(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError
        return words[text.lower()]

    return Rule("true or false", parse)


def _exactly_true() -> Rule:
    # A check this important is not switched off by a typing error or a stray "1".
    return Rule("exactly true, or anything else to keep the check", lambda text: text == "true")


def _absolute_path() -> Rule:
    def parse(text: str) -> Path:
        if not text.startswith("/") or "\0" in text:
            raise ValueError
        return Path(text)

    return Rule("an absolute path", parse)


def _folder() -> Rule:
    def parse(text: str) -> Path:
        if not text.startswith("/") or not Path(text).is_dir():
            raise ValueError
        return Path(text)

    return Rule("the absolute path of a folder that exists", parse)


def _url() -> Rule:
    def parse(text: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", text):
            raise ValueError
        return text.rstrip("/")

    return Rule("a URL that starts with http:// or https://", parse)


def _secret() -> Rule:
    def parse(text: str) -> str:
        if text.lower() in PLACEHOLDERS:
            raise ValueError
        return text

    return Rule("a secret of your own, not a placeholder", parse)


def _hex_name() -> Rule:
    def parse(text: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{8,32}", text):
            raise ValueError
        return text

    return Rule("8 to 32 hexadecimal digits", parse)


def _variable(
    rule: Rule,
    help: str,  # noqa: A002 - the word that people know from command lines
    *,
    default: Any = None,
    secret: bool = False,
    generated: bool = False,
) -> Any:
    return field(default=default, metadata={"variable": Variable(rule, help, secret, generated)})


@dataclass(frozen=True)
class Settings:
    """Every setting, typed. Times in seconds, sizes in bytes."""

    port: int = _variable(_integer(1, 65535), "Port that the API listens on.", default=80)
    storage_dir: Path = _variable(
        _absolute_path(), "Folder that holds all data.", default=DEFAULT_ROOT
    )
    app_url: str | None = _variable(_url(), "Public address of the app, for links in its answers.")
    secret_key_base: str | None = _variable(
        _secret(), "Secret that signs and encrypts; ONCE sets it.", secret=True, generated=True
    )
    num_cpus: int | None = _variable(
        _integer(1, 1024), "CPUs this container may use; ONCE sets it when it limits them."
    )
    web_workers: int | None = _variable(
        _integer(1, 64), "Worker processes of the API. By default as memory and CPUs allow."
    )
    web_threads: int | None = _variable(
        _integer(1, 64), "Threads in each worker. By default as memory allows."
    )
    trust_proxy_hops: int | None = _variable(
        _integer(0, 10),
        "Proxies in front: the client is the Nth entry from the right of X-Forwarded-For. By "
        "default one, and only if the peer's address is private.",
    )
    max_body_bytes: int = _variable(
        _integer(1024, 1 << 30), "Largest request body in bytes.", default=1 << 20
    )
    hold_seconds: float = _variable(
        _number(0.1, 25),
        "Longest time a request is held while the database is away; proxies give up at 30.",
        default=20.0,
    )
    client_migrations_dir: Path | None = _variable(
        _folder(), "Folder with your app's own migrations, 0001_name.sql and so on."
    )
    migration_timeout: float = _variable(
        _number(1, 3600),
        "Longest time in seconds that a migration waits for another one, or for a lock.",
        default=60.0,
    )
    skip_schema_check: bool = _variable(
        _exactly_true(), "Serve although the schema is behind this version.", default=False
    )
    allow_broken_flock: bool = _variable(
        _boolean(),
        "Run on a file system whose locks do not exclude. Never run two containers there.",
        default=False,
    )
    appliance_instance: str | None = _variable(
        _hex_name(), "Name of this container among those that share the storage.", generated=True
    )


@dataclass(frozen=True)
class Environment:
    """Settings that were read, with what deserves a warning."""

    settings: Settings
    warnings: tuple[str, ...]


def load(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check the environment; raises SettingsError that names every fault at once."""
    source = os.environ if environ is None else environ
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name, spec in variables().items():
        text = _text(name, source, faults)
        if text is not None:
            _parse(name, spec, text, values, faults)
    faults += _reserved_faults(source)
    if faults:
        raise SettingsError(
            f"{len(faults)} of the environment's settings cannot be used:\n"
            + "\n".join(f"  - {fault}" for fault in faults),
            "Run `appliance env` to see every setting.",
        )
    settings = Settings(**values)
    return Environment(settings, tuple(_warnings(settings, source)))


def variables() -> dict[str, Variable]:
    """Every variable by its environment name, in the order of the schema."""
    return {entry.name.upper(): entry.metadata["variable"] for entry in fields(Settings)}


def export(settings: Settings) -> None:
    """Put resolved settings into this process' environment, for the programs it starts.

    Values from NAME_FILE and generated ones reach the children this way: they may not be
    allowed to read those files.
    """
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        name = entry.name.upper()
        os.environ.pop(f"{name}_FILE", None)
        if value is None or value == entry.default:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(value).lower() if isinstance(value, bool) else str(value)


def set_variable(name: str, value: str) -> None:
    """Set a variable that the static supervisor configuration expands."""
    os.environ[name] = value


def entropy_bits(secret: str) -> float:
    """Length times log2 of the distinct characters: an upper bound, in bits.

    >>> entropy_bits("aaaa")
    0.0
    """
    return len(secret) * math.log2(len(set(secret))) if secret else 0.0


def generate_secret() -> str:
    """32 random bytes as base64 text."""
    return base64.b64encode(os.urandom(32)).decode("ascii")


def example() -> str:
    """The text of .env.example, made from the schema."""
    return "# Made from the settings; change it with: make env-example\n\n" + "\n".join(
        f"# {line['help']}\n# {line['rule'].capitalize()}. [{line['tag']}]\n# {line['name']}=\n"
        for line in table()
    )


def table() -> list[dict[str, str]]:
    """Every setting for people: name, tag (default or optional), rule, help."""
    rows = []
    for entry in fields(Settings):
        spec: Variable = entry.metadata["variable"]
        rows.append(
            {
                "name": entry.name.upper(),
                "tag": _tag(spec, entry.default),
                "rule": spec.rule.text,
                "help": spec.help,
            }
        )
    return rows


def _tag(spec: Variable, default: Any) -> str:
    if default is MISSING:
        return "required"
    if default is None:
        return "optional, generated" if spec.generated else "optional"
    if isinstance(default, bool):
        return f"default: {str(default).lower()}"
    return f"default: {default:g}" if isinstance(default, float) else f"default: {default}"


def _text(name: str, source: Mapping[str, str], faults: list[str]) -> str | None:
    direct, file = source.get(name, ""), source.get(f"{name}_FILE", "")
    if direct and file:
        faults.append(f"{name} and {name}_FILE are both set. Set one of them.")
        return None
    if not file:
        return direct or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        faults.append(f"{name}_FILE={file} cannot be read: {reason}.")
        return None


def _parse(name: str, spec: Variable, text: str, values: dict[str, Any], faults: list[str]) -> None:
    try:
        values[name.lower()] = spec.rule.parse(text)
    except ValueError:
        shown = "(not shown)" if spec.secret else repr(text)
        hint = " Make one with `appliance gen-secret`." if spec.secret else ""
        faults.append(f"{name}={shown} must be {spec.rule.text}.{hint}")


def _reserved_faults(source: Mapping[str, str]) -> list[str]:
    harmless = ("", "false", "0", "no")
    return [
        f"{name} cannot be used: {why}. Unset it."
        for name, why in RESERVED.items()
        if source.get(name, "").lower() not in harmless
    ]


def _warnings(settings: Settings, source: Mapping[str, str]) -> list[str]:
    warnings = [
        f"{name} has no effect in this version."
        for name in WITHOUT_EFFECT
        if source.get(name) and name not in SET_BY_ONCE
    ]
    known = {*variables(), *(f"{name}_FILE" for name in variables())}
    warnings += [
        f"{name} is not a setting of the appliance; is it spelled right?"
        for name in sorted(source)
        if name.startswith(OUR_PREFIX) and name not in known
    ]
    return warnings + _secret_warnings(settings)


def _secret_warnings(settings: Settings) -> list[str]:
    secret = settings.secret_key_base
    if secret is None:
        return []
    if len(secret) >= SECRET_MIN_CHARACTERS and entropy_bits(secret) >= SECRET_MIN_BITS:
        return []
    return [
        f"SECRET_KEY_BASE is weak ({len(secret)} characters, {entropy_bits(secret):.0f} bits; "
        f"{SECRET_MIN_CHARACTERS} and {SECRET_MIN_BITS} are wanted). "
        "Make one with `appliance gen-secret`."
    ]
