"""What the API takes and says about backups. Sizes in bytes, times in UTC."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from appliance.api.backups.backup_problems import check_backup_name
from appliance.backups.format import backup_name

MOST_KEPT = 100_000
NAME_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{backup_name.PATTERN}$",
    "not": {"enum": sorted(backup_name.RESERVED)},
    "examples": ["before-the-audit"],
}


def _read_whole(value: Any) -> Any:
    # To JSON Schema 3.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Name = Annotated[str, AfterValidator(check_backup_name), WithJsonSchema(NAME_SCHEMA)]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewBackup(_Request):
    """A backup to make. Without a name it is called after the time."""

    name: Name | None = None


class NamedBackup(_Request):
    """The backup that is meant."""

    name: Name


class Keep(_Request):
    """How many of the newest backups stay."""

    keep: Annotated[int, Field(strict=True, ge=1, le=MOST_KEPT), BeforeValidator(_read_whole)]


class Force(_Request):
    """Whether data that is there may be replaced."""

    force: Annotated[bool, Field(strict=True)] = False


class Backup(BaseModel):
    """A backup, and the destinations that keep it. One that is damaged has a fault and no facts.

    `counts` is how much of the app's data is in it; null for what it has no table of.
    """

    name: str
    path: str
    destinations: list[str]
    fault: str | None
    created_at: Time | None
    size: int | None
    counts: dict[str, int | None] | None
    encrypted: bool | None
    compressed: bool | None


class BackupTable(BaseModel):
    """A table in a backup."""

    name: str
    rows: int


class BackupDatabase(BaseModel):
    """A database in a backup; `size` is what it took on disk."""

    name: str
    size: int
    tables: list[BackupTable]


class BackupDetails(Backup):
    """All that is known of a backup. `schema` is the last migration of each track."""

    finished_at: Time | None = None
    appliance_version: str | None = None
    postgres_version: str | None = None
    migrations: dict[str, int] | None = Field(default=None, alias="schema")
    recipients: list[str] | None = None
    passphrase: bool | None = None
    databases: list[BackupDatabase] | None = None


class BackupList(BaseModel):
    """Every backup, the newest first; `away` says which destinations could not be asked."""

    items: list[Backup]
    away: list[str]


class Deleted(BaseModel):
    """A backup that is gone."""

    name: str
    bytes_freed: int


class Pruned(BaseModel):
    """What pruning did."""

    deleted_count: int
    deleted_names: list[str]
    retained_count: int
    bytes_freed: int


class BackupVerification(BaseModel):
    """A backup was restored beside the live database, and is what it says."""

    name: str
    at: Time
    ok: bool
    tables: int
    rows: int
    seconds: float
    message: str


class Restored(BaseModel):
    """Everything is as it was at `created_at`."""

    name: str
    restored: Literal[True]
    created_at: Time


class WorkProgress(BaseModel):
    """How far it is, in bytes and tables; empty while nobody can tell."""

    phase: str | None = None
    done: int | None = None
    total: int | None = None
    tables: int | None = None
    seconds_left: float | None = None


class RunningWork(BaseModel):
    """The work goes on; by its `id` one learns how it ended. `name` is the backup in question."""

    id: str
    name: str | None = None
    status: Literal["running"]
    progress: WorkProgress


class Work(BaseModel):
    """How some work stands; `message` says why it failed."""

    id: str
    status: Literal["running", "done", "failed"]
    message: str | None
