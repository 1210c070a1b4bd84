"""Nothing is measured on what did not come up, and nothing after a stop that was none."""

import sys
from pathlib import Path

import pytest

from appliance.storage.paths import Storage
from bench import processes
from bench.postmaster import is_ready

OBSTINATE = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
signal.pause()
"""


def test_what_does_not_end_by_itself_is_killed_and_ends_the_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    process = processes.start([sys.executable, "-c", OBSTINATE], log, {})
    processes.wait_until(lambda: log.read_text() or None, process, log)
    monkeypatch.setattr(processes, "DEADLINE_S", 0.1)
    with pytest.raises(SystemExit, match="did not end"):
        processes.stop(process)
    assert process.poll() is not None


def test_what_ends_before_it_is_up_is_told_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = processes.start(["sh", "-c", "echo no such luck; exit 3"], log, {})
    with pytest.raises(SystemExit, match=r"(?s)ended with 3:.no such luck"):
        processes.wait_until(lambda: None, process, log)


@pytest.mark.parametrize(
    ("number", "status", "ready"),
    [("own", "starting", False), ("own", "ready   ", True), ("another", "ready   ", False)],
)
def test_postgres_is_asked_when_it_says_that_it_is_ready(
    number: str, status: str, ready: bool, tmp_path: Path
) -> None:
    storage = Storage(tmp_path)
    process = processes.start(["sleep", "60"], tmp_path / "log", {})
    try:
        assert not is_ready(storage, process)
        storage.pgdata.mkdir()
        first = str(process.pid) if number == "own" else "1"
        lines = [first, str(storage.pgdata), "1795000000", "5432", "/run", "", "1 2", status]
        (storage.pgdata / "postmaster.pid").write_text("\n".join([*lines, ""]))
        assert is_ready(storage, process) is ready
    finally:
        processes.kill(process)
