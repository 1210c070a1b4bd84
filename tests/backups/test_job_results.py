"""What is remembered of work that nobody waited for, however it ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.backups.backup_errors import BackupError, BadRequestError
from appliance.backups.jobs import job_results
from appliance.backups.jobs.job_results import JobResult
from appliance.storage.paths import Storage

ID, OTHER = "0123456789abcdef", "fedcba9876543210"
NO_IDS = ["", "x", "../0123456789abcdef", ID.upper(), f"{ID}0", f"{ID}\n"]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with the folder of its notes."""
    (tmp_path / "run").mkdir()
    return Storage(tmp_path)


def test_while_it_lasts_it_is_running_and_then_done(storage: Storage) -> None:
    assert job_results.read(storage, ID) is None
    with job_results.recording(storage, ID):
        assert job_results.read(storage, ID) == JobResult("running")
        assert job_results.read(storage, OTHER) is None
    assert job_results.read(storage, ID) == JobResult("done")


@pytest.mark.parametrize("error", [BackupError("No room.", "Make some."), OSError("No room.")])
def test_what_failed_says_why(storage: Storage, error: Exception) -> None:
    with pytest.raises(type(error)), job_results.recording(storage, ID):
        raise error
    assert job_results.read(storage, ID) == JobResult("failed", str(error))


def test_what_was_killed_is_said_to_be_broken_off(storage: Storage) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; "
        "from appliance.storage.paths import Storage; "
        "from appliance.backups.jobs import job_results\n"
        f"with job_results.recording(Storage(Path(sys.argv[1])), {ID!r}): "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, storage.root], check=False)
    assert killed.returncode == -signal.SIGKILL
    result = job_results.read(storage, ID)
    assert result is not None
    assert result.status == "failed"
    assert "broken off" in str(result.message)


@pytest.mark.parametrize("text", NO_IDS)
def test_what_is_no_id_reaches_no_path(storage: Storage, text: str) -> None:
    with pytest.raises(BadRequestError, match="is no id of work on backups"):
        job_results.read(storage, text)
    with pytest.raises(BadRequestError), job_results.recording(storage, text):
        pass
    assert list(storage.run.rglob("*")) == []


def test_the_oldest_are_forgotten(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_results, "_KEPT", 2)
    ids = [f"{number:016x}" for number in range(4)]
    for number, work_id in enumerate(ids):
        with job_results.recording(storage, work_id):
            pass
        [path] = storage.run.rglob(work_id)
        os.utime(path, (number, number))
    left = [work_id for work_id in ids if job_results.read(storage, work_id)]
    assert left == ids[-2:]
