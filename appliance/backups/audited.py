"""One action on backups at a time, each recorded in the audit."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from appliance.backups import audit, backup_status, exclusive
from appliance.backups.backup_errors import ConflictError
from appliance.backups.server import databases
from appliance.errors import ApplianceError
from appliance.storage.paths import Storage

# What everyone is told of if it fails: there is no new backup then, or not everywhere.
_CREATING = frozenset({"create", "complete"})


@contextmanager
def audited(
    storage: Storage, actor: str, action: str, name: str | None, **facts: int
) -> Iterator[None]:
    """Run the block while nobody else works on backups, and record who did it and how it ended."""
    try:
        with exclusive.holding(storage, action), _recording_failure(storage, action):
            yield
    except BaseException as error:
        # What is wrong comes first; that it cannot be written down, second.
        with suppress(ApplianceError):
            message = _message(error)
            audit.record(storage, action, actor, name=name, ok=False, message=message, **facts)
        raise
    audit.record(storage, action, actor, name=name, ok=True, **facts)


@contextmanager
def _recording_failure(storage: Storage, action: str) -> Iterator[None]:
    try:
        with databases.postgres_errors_explained():
            yield
    except Exception as error:
        if action in _CREATING and not isinstance(error, ConflictError):
            backup_status.record_failure(storage, _message(error))
        raise


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return " ".join(["Broken off.", *getattr(error, "__notes__", [])])
    return str(error) or repr(error)
