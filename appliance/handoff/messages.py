"""What agents say to each other and are told: every message, and how it looks as JSON.

Containers of any version speak by these: the names of types and fields stay as protocol 1 has
them. A reader ignores fields that it does not know.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin

from appliance.storage.lock import Owner

PROTOCOL = 1
LOWEST_PROTOCOL, HIGHEST_PROTOCOL = 1, 1


@dataclass(frozen=True)
class Request:
    """A new container asks for the database. `lowest` to `highest` are the protocols it speaks.

    Builds that know one protocol only look at `protocol`, and say nothing of the other two.
    """

    instance: str
    hostname: str = "?"
    version: str = "?"
    protocol: int = PROTOCOL
    lowest: int | None = None
    highest: int | None = None


@dataclass(frozen=True)
class Accepted:
    """The owner will hand over, and speaks this protocol from now on."""

    protocol: int = 1


@dataclass(frozen=True)
class Ready:
    """The stop will be short now; `phases_ms` are milliseconds by phase."""

    phases_ms: dict[str, float]


@dataclass(frozen=True)
class Go:
    """The new container still waits for the lock: stop."""


@dataclass(frozen=True)
class Stopping:
    """The owner's Postgres was told to stop; `at` by the machine's monotonic clock, in seconds."""

    at: float


@dataclass(frozen=True)
class Busy:
    """Look again: the database is moving, or not here at this moment."""


@dataclass(frozen=True)
class Refused:
    """The owner keeps the database; `reason` is for the log."""

    reason: str = "it refused"


@dataclass(frozen=True)
class Taken:
    """A container's Postgres program tells its own agent that it got the lock.

    `at`, `prepared` (when it became Postgres) and `stopping_at` (when the owner began to hand over,
    0 if it did not) are seconds of the monotonic clock. `phases_ms` is added by the agent.
    """

    at: float
    prepared: float
    stopping_at: float = 0.0
    was_successor: bool = field(default=False, metadata={"name": "was_heir"})
    previous: Owner | None = None
    phases_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BackupRequest:
    """The API, the schedule or a container asks for a job on backups.

    It is not begun after `not_after`, by the monotonic clock; what comes of it is kept by `id`.
    """

    action: str
    actor: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    not_after: float = 0.0


@dataclass(frozen=True)
class JobStarted:
    """The job began."""


@dataclass(frozen=True)
class JobProgress:
    """How far the job is."""

    step: dict[str, Any]


@dataclass(frozen=True)
class JobDone:
    """The job ended well."""

    result: Any = None


@dataclass(frozen=True)
class JobFailed:
    """The job failed: the name of the error's class, and its words."""

    error: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class NotUnderstood:
    """A message of a type, or with fields, that this build does not know."""

    type: str


Message = (
    Request
    | Accepted
    | Ready
    | Go
    | Stopping
    | Busy
    | Refused
    | Taken
    | BackupRequest
    | JobStarted
    | JobProgress
    | JobDone
    | JobFailed
    | NotUnderstood
)

REQUEST = "claim"
_TYPES: dict[str, type[Any]] = {
    REQUEST: Request,
    "accepted": Accepted,
    "ready": Ready,
    "go": Go,
    "stopping": Stopping,
    "busy": Busy,
    "refused": Refused,
    "taken": Taken,
    "backup": BackupRequest,
    "started": JobStarted,
    "progress": JobProgress,
    "done": JobDone,
    "failed": JobFailed,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def to_json(message: Message) -> dict[str, Any]:
    """A message as it is sent.

    >>> to_json(Stopping(at=1.5))
    {'type': 'stopping', 'at': 1.5}
    """
    if isinstance(message, NotUnderstood):
        return {"type": message.type}
    return {"type": _NAMES[type(message)], **_encode(message)}


def from_json(document: Any) -> Message:
    """A message as it was sent; raises ValueError for what is none.

    >>> from_json({"type": "stopping", "at": 1.5, "in": "the future"})
    Stopping(at=1.5)
    >>> from_json({"type": "stopping"})
    NotUnderstood(type='stopping')
    """
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise ValueError("not a message")  # noqa: TRY004 - as for text that is no JSON
    name = document["type"]
    try:
        message: Message = _build(_TYPES[name], document)
    except (KeyError, TypeError, ValueError):
        return NotUnderstood(name)
    return message


def common_protocol(request: Request) -> int:
    """The highest protocol that both sides speak; ValueError says which there are, if none."""
    lowest = request.protocol if request.lowest is None else request.lowest
    highest = request.protocol if request.highest is None else request.highest
    common = min(highest, HIGHEST_PROTOCOL)
    if common < max(lowest, LOWEST_PROTOCOL):
        theirs, ours = _range(lowest, highest), _range(LOWEST_PROTOCOL, HIGHEST_PROTOCOL)
        raise ValueError(f"the new container speaks protocol {theirs}, the owner protocol {ours}")
    return common


def _range(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"{lowest} to {highest}"


def _encode(value: Any) -> Any:
    if not is_dataclass(value):
        return value
    return {_name(one): _encode(getattr(value, one.name)) for one in fields(value)}


def _build(kind: type[Any], document: dict[str, Any]) -> Any:
    known = {one.name: (one.type, _name(one)) for one in fields(kind)}
    given = {
        name: _decode(declared, document[sent])
        for name, (declared, sent) in known.items()
        if sent in document
    }
    return kind(**given)


def _decode(declared: Any, value: Any) -> Any:
    """`value` as the type that was declared; raises ValueError if it is another."""
    if isinstance(declared, UnionType):
        return None if value is None else _decode(get_args(declared)[0], value)
    if is_dataclass(declared) and isinstance(value, dict):
        return _build(declared, value)  # type: ignore[arg-type]  # a dataclass
    if declared is float and type(value) is int:
        return float(value)
    if declared is Any or isinstance(value, get_origin(declared) or declared):
        if get_args(declared)[1:] == (float,):
            return {name: _decode(float, one) for name, one in value.items()}
        return value
    raise ValueError(f"{value!r} is not {declared}")


def _name(one: Any) -> str:
    return str(one.metadata.get("name", one.name))
