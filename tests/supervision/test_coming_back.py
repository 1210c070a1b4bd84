"""What is killed comes back, and the service with it."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.processes import Process
from tests.harness.waiting import wait_until

ACCOUNT = {"kind": "asset", "currency": "EUR"}


def program(name: str) -> Callable[[Appliance], Process]:
    return lambda running: running.programs()[name]


def api_worker(running: Appliance) -> Process:
    return processes.descendants(running.programs()["api"].pid)[0]


def agent(running: Appliance) -> Process:
    return running.programs()["agent"]


def backend(running: Appliance) -> Process:
    master = running.postmaster()
    assert master
    return next(p for p in processes.descendants(master.pid) if "appliance" in p.command)


@pytest.mark.parametrize(
    "victim",
    [program("postgres"), program("api"), api_worker, agent, backend],
    ids=["postmaster", "gunicorn", "a worker", "agent", "a backend"],
)
def test_a_killed_process_comes_back_and_requests_are_served_again(
    appliance: Appliance, victim: Callable[[Appliance], Process]
) -> None:
    appliance.call("POST", "/api/accounts", json={"name": "before", **ACCOUNT})
    killed = victim(appliance)
    processes.kill(killed.pid)
    wait_until(lambda: not processes.alive(killed.pid), "its end")
    wait_until(lambda: settled(appliance), "everything runs again")
    appliance.wait_until_up()
    made = appliance.call("POST", "/api/accounts", json={"name": "after", **ACCOUNT})
    assert made.status_code == 201, running_log(appliance)
    names = {item["name"] for item in appliance.call("GET", "/api/accounts").json()["items"]}
    assert names == {"before", "after"}
    assert appliance.process.poll() is None


def test_a_postgres_that_was_told_to_stop_is_started_again_however_often(
    appliance: Appliance,
) -> None:
    for _ in range(6):
        stop_postgres(appliance)
    appliance.wait_until_up()
    assert appliance.log.count("postgres ended (exit code 0)") == 6
    assert "cannot be kept running" not in appliance.log


def stop_postgres(appliance: Appliance) -> None:
    """Once it has lived so long that its end is no failed start."""
    master = wait_until(appliance.postmaster, "a postmaster runs")
    lived = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > lived, "it is no failed start")
    os.kill(master.pid, signal.SIGINT)
    wait_until(lambda: processes.ended(master.pid), "its end")


def test_a_request_during_the_death_of_the_postmaster_is_held_and_not_failed(
    appliance: Appliance,
) -> None:
    appliance.key()
    master = appliance.postmaster()
    assert master
    processes.kill(master.pid)
    made = appliance.call("POST", "/api/accounts", json={"name": "held", **ACCOUNT})
    assert made.status_code == 201, made.text


def test_a_crash_under_write_load_loses_no_acknowledged_row(
    make_appliance: Callable[..., Appliance],
) -> None:
    first = make_appliance().start().wait_until_up()
    acknowledged = 0
    with first.connect() as connection:
        connection.execute("CREATE TABLE rows (number integer PRIMARY KEY, filler text)")
        for acknowledged in range(1, 400):
            connection.execute("INSERT INTO rows VALUES (%s, repeat('x', 2000))", (acknowledged,))
        first.kill_everything()
    second = make_appliance().start().wait_until_up()
    assert "not properly shut down" in second.log
    with second.connect() as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (acknowledged,)
    assert second.stop() == 0


def running_log(running: Appliance) -> str:
    """The log, for a failure that only it explains."""
    return "\n".join(running.lines[-80:])


def program_of(running: Appliance, name: str) -> Process | None:
    return running.programs().get(name)


def settled(running: Appliance) -> bool:
    names = {"postgres", "api", "agent"}
    found = running.programs()
    return (
        names <= set(found)
        and running.postmaster() is not None
        and bool(processes.descendants(found["api"].pid))
    )


def test_nothing_outlives_a_supervisor_that_was_killed(
    make_appliance: Callable[..., Appliance],
) -> None:
    first = make_appliance().start().wait_until_up()
    below = [process.pid for process in processes.descendants(first.process.pid)]
    processes.kill(first.process.pid)
    wait_until(lambda: not any(map(processes.alive, below)), "all of it is gone")
    make_appliance().start().wait_until_up()


def test_health_answers_while_more_requests_are_held_than_the_database_takes(
    appliance: Appliance,
) -> None:
    appliance.key()
    os.kill(appliance.process.pid, signal.SIGSTOP)  # nobody starts the database again
    master = appliance.postmaster()
    assert master
    processes.kill(master.pid)
    with ThreadPoolExecutor(24) as pool:
        held = [pool.submit(appliance.call, "GET", "/api/accounts") for _ in range(24)]
        wait_until(lambda: not processes.alive(master.pid), "the database is gone")
        assert [appliance.status("/health") for _ in range(10)] == [200] * 10
        os.kill(appliance.process.pid, signal.SIGCONT)
        assert {answer.result().status_code for answer in held} == {200}


def test_sigterm_still_works_after_everything_was_killed_once(appliance: Appliance) -> None:
    for name in ("postgres", "api", "agent"):
        # It may be between two lives itself: the agent that lost its database starts again.
        running = wait_until(partial(program_of, appliance, name), f"{name} runs")
        processes.kill(running.pid)
    wait_until(lambda: settled(appliance), "everything runs again")
    appliance.wait_until_up()
    appliance.process.send_signal(signal.SIGTERM)
    assert appliance.wait(10) == 0
