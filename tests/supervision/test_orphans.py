"""A supervisor that is killed takes its programs with it, whatever they were doing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.harness import locks, processes
from tests.harness.appliance import Appliance, free_port
from tests.harness.waiting import wait_until

INSTANCE = "0123456789ab"


def test_nothing_outlives_a_standby_whose_supervisor_was_killed(
    appliance: Appliance, make_appliance: Callable[..., Appliance]
) -> None:
    new = make_appliance().start().wait_until_up()
    waiting = wait_until(
        lambda: [p.pid for p in processes.descendants(appliance.process.pid) if locks.waits(p.pid)],
        "the former owner waits for the lock",
    )
    below = [process.pid for process in processes.descendants(appliance.process.pid)]
    assert set(waiting) < set(below)
    processes.kill(appliance.process.pid)
    wait_until(lambda: not any(map(processes.alive, below)), "all of it is gone")
    assert new.status("/up") == 200


@pytest.mark.parametrize("program", ["postgres", "agent", "api"])
def test_a_program_whose_supervisor_died_before_it_began_ends_at_once(
    storage_folder: Path, program: str
) -> None:
    storage = Storage(storage_folder)
    storage.prepare(system_users.detect())
    gone = subprocess.Popen(["true"])
    gone.wait()
    where = {
        "STORAGE_DIR": str(storage_folder),
        "APPLIANCE_INSTANCE": INSTANCE,
        "APPLIANCE_SUPERVISOR": str(gone.pid),
        "PORT": str(free_port()),
    }
    orphan = subprocess.run(
        [sys.executable, "-P", "-m", "appliance.supervision.entry_points", program],
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "its supervisor is gone" in orphan.stdout
    assert orphan.returncode == 1
    assert not storage.pgdata.exists()


def test_a_process_whose_parent_died_before_the_kernel_was_asked_is_killed() -> None:
    ask = "from appliance.system import process; process.end_with_parent({}); print('it lives')"
    for parent, code, said in ((os.getpid(), 0, "it lives"), (1, -signal.SIGKILL, "")):
        asked = [sys.executable, "-c", ask.format(parent)]
        ended = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
        assert (ended.returncode, ended.stdout.strip()) == (code, said)
