"""What came of work that nobody waits for any more: a file for each, locked until it is over."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from appliance.backups.errors import BadRequestError
from appliance.errors import ApplianceError
from appliance.postgres import ownership
from appliance.storage import Storage

# Such an id can be a file's name.
PATTERN = "[0-9a-f]{16}"

_KEPT = 500
_BROKEN_OFF = "It was broken off: its program was killed, or the container was stopped."


@dataclass(frozen=True)
class Ending:
    """How some work stands; `message` says why it failed."""

    status: Literal["running", "done", "failed"]
    message: str | None = None


@contextmanager
def keeping(storage: Storage, work_id: str) -> Iterator[None]:
    """Remember what comes of the block: done if it ends, failed if it raises ApplianceError.

    Raises BadRequestError for what is no id.
    """
    path = _path(storage, work_id)
    path.parent.mkdir(mode=0o750, exist_ok=True)
    with ownership.holding(path):
        _forget_oldest(path.parent)
        try:
            yield
        except (ApplianceError, OSError) as error:
            _write(path, Ending("failed", str(error)))
            raise
        _write(path, Ending("done"))


def read(storage: Storage, work_id: str) -> Ending | None:
    """How it stands; None if nobody began it, or if it is long over. BadRequestError as above."""
    path = _path(storage, work_id)
    # Whoever held the lock wrote before letting go of it, so the lock is looked at first.
    if ownership.is_locked(path):
        return Ending("running")
    try:
        return Ending(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Ending("failed", _BROKEN_OFF)


def _path(storage: Storage, work_id: str) -> Path:
    if re.fullmatch(PATTERN, work_id) is None:
        raise BadRequestError(f"{work_id[:80]!r} is no id of work on backups.")
    return storage.backup_endings / work_id


def _write(path: Path, ending: Ending) -> None:
    # In place: the lock is on this file. On a full disk it is lost, and what it tells of is not.
    with suppress(OSError):
        path.write_text(json.dumps(asdict(ending)), encoding="utf-8")


def _forget_oldest(folder: Path) -> None:
    # Somebody else may be at it, too.
    with suppress(FileNotFoundError):
        found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in found[:-_KEPT]:
            path.unlink()
