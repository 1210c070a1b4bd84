"""Acting on backups: alone, and nobody can say afterwards that it was not written down."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from appliance.backups import audit, databases, exclusive, notes
from appliance.backups.errors import ConflictError
from appliance.errors import ApplianceError
from appliance.storage import Storage

# What everyone is told of if it fails: there is no new backup then, or not everywhere.
_MAKING = frozenset({"create", "complete"})


@contextmanager
def acting(
    storage: Storage, actor: str, action: str, name: str | None, **facts: int
) -> Iterator[None]:
    """Do the block alone, and write down who did it and what came of it."""
    try:
        with exclusive.holding(storage, action), _noting_failure(storage, action):
            yield
    except BaseException as error:
        # What is wrong comes first; that it cannot be written down, second.
        with suppress(ApplianceError):
            message = _words(error)
            audit.record(storage, action, actor, name=name, ok=False, message=message, **facts)
        raise
    audit.record(storage, action, actor, name=name, ok=True, **facts)


@contextmanager
def _noting_failure(storage: Storage, action: str) -> Iterator[None]:
    try:
        with databases.reached():
            yield
    except Exception as error:
        if action in _MAKING and not isinstance(error, ConflictError):
            notes.record_failure(storage, _words(error))
        raise


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return " ".join(["Broken off.", *getattr(error, "__notes__", [])])
    return str(error) or repr(error)
