"""The schema: every setting with its type, rule and default."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from appliance.settings import rules
from appliance.settings.rules import Rule
from appliance.storage.paths import DEFAULT_ROOT

# What APP may be besides `none`; the apps themselves are known far above.
APPS = ("books",)


@dataclass(frozen=True)
class Variable:
    """What people need to know of one variable.

    An `internal` one is set by the appliance itself, for the programs it starts. A `given` secret
    comes from somebody else, who answers for its strength.
    """

    rule: Rule
    help: str
    secret: bool = False
    internal: bool = False
    given: bool = False


def _variable(
    rule: Rule,
    help: str,  # noqa: A002 - the word that people know from command lines
    *,
    default: Any = None,
    secret: bool = False,
    internal: bool = False,
    given: bool = False,
) -> Any:
    metadata = {"variable": Variable(rule, help, secret or given, internal, given)}
    return field(default=default, metadata=metadata, repr=not (secret or given))


@dataclass(frozen=True)
class Settings:
    """Every setting, typed. Times in seconds, sizes in bytes."""

    port: int = _variable(rules.integer(1, 65535), "Port that the API listens on.", default=80)
    storage_dir: Path = _variable(
        rules.storage_path(), "Folder that holds all data.", default=DEFAULT_ROOT
    )
    app_url: str | None = _variable(
        rules.url(), "Public address of the app, for links in its answers."
    )
    secret_key_base: str | None = _variable(
        rules.secret(),
        "Secret that signs and encrypts; ONCE sets it. If unset, one is made and kept in the "
        "storage.",
        secret=True,
    )
    num_cpus: int | None = _variable(
        rules.integer(1, 1024), "CPUs this container may use; ONCE sets it when it limits them."
    )
    web_workers: int | None = _variable(
        rules.integer(1, 64), "Worker processes of the API. By default as memory and CPUs allow."
    )
    web_threads: int | None = _variable(
        rules.integer(1, 64), "Threads in each worker. By default as memory allows."
    )
    trust_proxy_hops: int | None = _variable(
        rules.integer(0, 10),
        "Proxies in front: the client is the Nth entry from the right of X-Forwarded-For. By "
        "default one, and only if the peer's address is private.",
    )
    max_body_bytes: int = _variable(
        rules.integer(1024, 1 << 30), "Largest request body in bytes.", default=1 << 20
    )
    hold_seconds: float = _variable(
        rules.number(0.1, 25),
        "Longest time a request is held while the database is away; proxies give up at 30.",
        default=20.0,
    )
    app: str = _variable(
        rules.one_of(*APPS, "none"),
        "App that runs in the API's process; with none its tables are neither made nor dropped.",
        default="books",
    )
    log_format: str = _variable(
        rules.one_of("text", "json"),
        "Form of the log: lines for people, or an object in each line for programs.",
        default="text",
    )
    log_level: str = _variable(
        rules.one_of("info", "debug"),
        "With debug the log also has each program that is run, and how long it took.",
        default="info",
    )
    client_migrations_dir: Path | None = _variable(
        rules.folder(), "Folder with your app's own migrations, 0001_name.sql and so on."
    )
    migration_timeout: float = _variable(
        rules.number(1, 3600),
        "Longest time in seconds that a migration waits for another one, or for a lock.",
        default=60.0,
    )
    skip_schema_check: bool = _variable(
        rules.exactly_true(), "Serve although the schema is behind this version.", default=False
    )
    allow_broken_flock: bool = _variable(
        rules.boolean(),
        "Run on a file system whose locks do not exclude. Never run two containers there.",
        default=False,
    )
    backup_dir: Path | None = _variable(
        rules.path(), "Folder for backups. By default backups in the storage."
    )
    backup_destinations: str | None = _variable(
        rules.destinations(),
        "More places to keep each backup in: folders, and S3 buckets, whose URL may end in "
        "?endpoint=https://host&region=name.",
    )
    backup_s3_access_key_id: str | None = _variable(
        rules.line(), "Access key of the S3 destinations."
    )
    backup_s3_secret_access_key: str | None = _variable(
        rules.line(), "Secret key of the S3 destinations.", given=True
    )
    backup_s3_session_token: str | None = _variable(
        rules.line(), "Session token of the S3 destinations, for temporary keys.", given=True
    )
    backup_recipients: str | None = _variable(
        rules.recipients(), "Encrypt backups for these age keys; whoever has none cannot read them."
    )
    backup_identity: str | None = _variable(
        rules.identity(), "The age key that reads encrypted backups.", given=True
    )
    backup_passphrase: str | None = _variable(
        rules.passphrase(), "Encrypt backups so that this passphrase reads them.", secret=True
    )
    backup_schedule: float | None = _variable(
        rules.number(0.01, 8760), "Hours between two backups. By default none are made by itself."
    )
    backup_retention: int = _variable(
        rules.integer(1, 100_000), "How many of the scheduled backups are kept.", default=7
    )
    backup_drill: float | None = _variable(
        rules.number(0.01, 8760), "Hours between two trial restores of the newest backup."
    )
    backup_acknowledged: bool = _variable(
        rules.boolean(),
        "Say at no start that there is no backup outside this machine.",
        default=False,
    )
    restore_db: str | None = _variable(
        rules.line(), "Have the post-restore hook restore this database only."
    )
    restore_from: str | None = _variable(
        rules.one_of("dump", "pgdata"),
        "Have the post-restore hook use this state, against the evidence.",
    )
    appliance_instance: str | None = _variable(
        rules.hex_name(),
        "Name of this container among those that share the storage, new at every start.",
        internal=True,
    )
    appliance_supervisor: int | None = _variable(
        rules.integer(1, 2**22),
        "Number of the process that starts this container's programs, and ends with them.",
        internal=True,
    )


def variables() -> dict[str, Variable]:
    """Every variable by its environment name, in the order of the schema."""
    return {entry.name.upper(): entry.metadata["variable"] for entry in fields(Settings)}


def defaults() -> dict[str, str | None]:
    """The default of every variable as one would write it; None where there is none."""
    return {entry.name.upper(): as_text(entry.default) for entry in fields(Settings)}


def as_text(value: Any) -> str | None:
    """A value as one would write it in the environment.

    >>> as_text(True), as_text(20.0), as_text(None)
    ('true', '20', None)
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
