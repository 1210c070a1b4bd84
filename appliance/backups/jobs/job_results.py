"""Results of jobs that nobody waits for any more: a file for each, locked until it is over."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from appliance.backups.backup_errors import BadRequestError
from appliance.errors import ApplianceError
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system import notes

# Such an id can be a file's name.
PATTERN = "[0-9a-f]{16}"

_KEPT = 500
_BROKEN_OFF = "It was broken off: its program was killed, or the container was stopped."


@dataclass(frozen=True)
class JobResult:
    """How a job stands; `message` says why it failed."""

    status: Literal["running", "done", "failed"]
    message: str | None = None


@contextmanager
def recording(storage: Storage, work_id: str) -> Iterator[None]:
    """Record the result of the block: done if it ends, failed if it raises ApplianceError.

    Raises BadRequestError for what is no id.
    """
    path = _path(storage, work_id)
    path.parent.mkdir(mode=0o750, exist_ok=True)
    with lock.holding(path):
        _forget_oldest(path.parent)
        try:
            yield
        except (ApplianceError, OSError) as error:
            _write(path, JobResult("failed", str(error)))
            raise
        _write(path, JobResult("done"))


def read(storage: Storage, work_id: str) -> JobResult | None:
    """How it stands; None if nobody began it, or if it is long over. BadRequestError as above."""
    path = _path(storage, work_id)
    # Whoever held the lock wrote before letting go of it, so the lock is looked at first.
    if lock.is_locked(path):
        return JobResult("running")
    if not path.exists():
        return None
    return notes.read_as(JobResult, path) or JobResult("failed", _BROKEN_OFF)


def _path(storage: Storage, work_id: str) -> Path:
    if re.fullmatch(PATTERN, work_id) is None:
        raise BadRequestError(f"{work_id[:80]!r} is no id of work on backups.")
    return storage.job_results / work_id


def _write(path: Path, result: JobResult) -> None:
    # In place: the lock is on this file. On a full disk it is lost, and what it tells of is not.
    with suppress(OSError):
        path.write_text(json.dumps(asdict(result)), encoding="utf-8")


def _forget_oldest(folder: Path) -> None:
    # Somebody else may be at it, too.
    with suppress(FileNotFoundError):
        found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in found[:-_KEPT]:
            path.unlink()
