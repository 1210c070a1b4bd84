"""What is acknowledged survives a stop, a SIGKILL, and the death of any one process."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.harness.processes import Process
from tests.harness.waiting import wait_until
from tests.image.conftest import Deploy
from tests.image.contained import Contained, postmasters
from tests.scenarios.bookkeeper import Bookkeeper

KILLED = 137


def test_a_stop_is_clean_and_quick_and_the_data_is_there_after_it(deploy: Deploy) -> None:
    appliance = deploy()
    bookkeeper = with_transactions(appliance)
    appliance.platform.stop(appliance.app)
    assert state(appliance)["ExitCode"] == 0
    assert "database system is shut down" in appliance.log
    appliance.start().wait_until_up()
    assert len(bookkeeper.recorded()) == 20


def test_a_stop_with_open_connections_and_dirty_buffers_takes_less_than_ten_seconds(
    deploy: Deploy,
) -> None:
    appliance = deploy()
    appliance.sql(
        "CREATE TABLE big AS SELECT g, repeat('x', 500) t FROM generate_series(1, 100000) g"
    )
    appliance.container.exec_run(
        ["appliance", "psql", "--role", "postgres", "-c", "SELECT pg_sleep(600)"], detach=True
    )
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"
    wait_until(lambda: appliance.sql(sessions) == "1", "a session")
    started = time.monotonic()
    appliance.platform.stop(appliance.app)
    assert time.monotonic() - started < 10
    assert state(appliance)["ExitCode"] == 0
    appliance.start().wait_until_up()
    assert appliance.sql("SELECT count(*) FROM big") == "100000"


def test_the_data_is_there_after_sigkill_of_the_whole_container(deploy: Deploy) -> None:
    appliance = deploy()
    bookkeeper = with_transactions(appliance)
    appliance.kill_everything()
    assert state(appliance)["ExitCode"] == KILLED
    appliance.start().wait_until_up()
    assert len(bookkeeper.recorded()) == 20


@pytest.mark.parametrize("name", ["postgres", "api", "agent"])
def test_a_killed_program_comes_back(deploy: Deploy, name: str) -> None:
    appliance = deploy()
    bookkeeper = with_transactions(appliance)
    killed = PROGRAMS[name](appliance)
    kill(appliance, killed)
    wait_until(lambda: PROGRAMS[name](appliance).pid != killed.pid, f"another {name}", 30)
    appliance.wait_until_up()
    assert len(bookkeeper.recorded()) == 20
    assert len(postmasters(appliance.container)) == 1
    assert state(appliance)["Running"]
    assert appliance.container.attrs["RestartCount"] == 0


def with_transactions(appliance: Contained) -> Bookkeeper:
    """Twenty acknowledged transactions."""
    bookkeeper = Bookkeeper(appliance)
    bookkeeper.record(20, clients=2)
    return bookkeeper


def state(appliance: Contained) -> dict[str, int]:
    """The state that Docker knows."""
    found: dict[str, int] = appliance.container.attrs["State"]
    return found


def first(text: str) -> Callable[[Contained], Process]:
    """Find the first process that has this in its command line, waiting until there is one."""

    def find(appliance: Contained) -> Process:
        def found() -> list[Process]:
            return [entry for entry in appliance.processes() if text in entry.command]

        return wait_until(found, text, 30)[0]

    return find


PROGRAMS = {
    "postgres": first("/bin/postgres -D"),
    "api": first("appliance.supervision.entry_points api"),
    "agent": first("appliance.supervision.entry_points agent"),
}


def kill(appliance: Contained, process: Process) -> None:
    """SIGKILL one process: through the kernel where the engine is local, else from inside."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pytest.skip("the engine's processes are out of reach: it runs on another machine")
