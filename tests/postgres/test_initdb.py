"""A cluster is made whole or not at all, and nobody makes it twice."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.harness import locks, processes
from tests.harness.postgres_program import PostgresProgram
from tests.harness.processes import Process
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.first_start

Make = Callable[..., PostgresProgram]


def initdbs(program: PostgresProgram) -> list[Process]:
    wanted = f"--pgdata={program.storage.pgdata_new}"
    return [p for p in processes.everyone() if wanted in p.command and "/initdb " in p.command]


@pytest.mark.parametrize("step", range(4))
def test_killed_in_the_middle_of_initdb_the_next_start_works(make_program: Make, step: int) -> None:
    # The moment is random on purpose: whatever it hits, the next start must cope.
    killed = make_program().start()
    wait_until(lambda: initdbs(killed), "initdb runs")
    time.sleep(random.uniform(0.1 * step, 0.1 * step + 0.1))  # noqa: S311 - nothing here is secret
    doomed = [killed.pid, *(p.pid for p in processes.descendants(killed.pid))]
    for pid in doomed:
        processes.kill(pid)
    killed.wait()
    following = make_program().start().wait_until_serving()
    assert not following.storage.pgdata_new.exists()
    with following.connect(database="postgres") as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)


def state(pid: int) -> str | None:
    """What the kernel says that a process does, None if it has ended."""
    process = processes.read(pid)
    return process.state if process else None


def frozen_below(initdb: Process) -> list[int]:
    """Freeze what initdb runs just now, if it does; initdb stands still then, too."""
    os.kill(initdb.pid, signal.SIGSTOP)
    below = [p.pid for p in processes.descendants(initdb.pid) if p.state != "Z"]
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    # A shell whose child stands still before it has become a program stops only when that is over.
    if not any(state(pid) == "T" for pid in below):
        os.kill(initdb.pid, signal.SIGCONT)
        return []
    return below


def test_what_outlives_an_initdb_whose_parent_was_killed_keeps_the_lock(
    make_program: Make,
) -> None:
    killed = make_program().start()
    initdb = wait_until(lambda: initdbs(killed), "initdb runs")[0]
    left = wait_until(lambda: frozen_below(initdb), "initdb runs Postgres")
    try:
        killed.send(signal.SIGKILL)
        killed.wait()
        wait_until(lambda: not processes.alive(initdb.pid), "initdb ends with its parent")
        assert not locks.is_free(killed.storage)
        following = make_program().start()
        wait_until(lambda: locks.waits(following.pid), "the next one waits in the lock")
        assert killed.storage.pgdata_new.exists()
    finally:
        for pid in left:
            processes.kill(pid)
    following.wait_until_serving()
    assert not killed.storage.pgdata_new.exists()


def test_a_start_that_is_interrupted_during_initdb_leaves_no_initdb_behind(
    make_program: Make,
) -> None:
    stopped = make_program().start()
    wait_until(lambda: initdbs(stopped), "initdb runs")
    stopped.send(signal.SIGINT)
    assert stopped.wait(10) != 0
    wait_until(lambda: not initdbs(stopped), "initdb is gone")
    wait_until(lambda: locks.is_free(stopped.storage), "the lock is free")
    assert "Traceback" not in stopped.log
    assert not stopped.storage.pgdata.exists()
