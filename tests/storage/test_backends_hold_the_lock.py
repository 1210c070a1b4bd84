"""Invariant 2: the lock lives as long as the last process of that Postgres."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.harness import locks, processes
from tests.harness.appliance import Appliance, waiting
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch


def test_every_process_of_postgres_holds_the_lock_and_no_other_does(appliance: Appliance) -> None:
    of_postgres = {p.pid for p in processes.postgres_processes(appliance.storage.pgdata)}
    assert len(of_postgres) > 3
    assert locks.holders(appliance.storage) == of_postgres


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL])
def test_a_backend_that_outlives_a_killed_postmaster_keeps_everybody_out(
    pair: tuple[Appliance, Appliance], then: signal.Signals
) -> None:
    owner, standby = pair
    with (
        PostmasterWatch(owner.storage.pgdata) as watch,
        a_frozen_backend(owner) as backend,
    ):
        restarted = kill_the_postmaster_of(owner)
        wait_until(lambda: locks.waits(restarted) and waiting(standby), "both wait in the lock")
        wait_until(lambda: alone(owner, backend), "only the frozen backend is left")
        assert not locks.is_free(owner.storage)
        assert processes.postmasters(owner.storage.pgdata) == []
        assert "waiting for the last process of the Postgres that was here before" in owner.log
        os.kill(backend, then)
        wait_until(lambda: owner.postmaster() or standby.postmaster(), "somebody owns it again")
        assert not processes.alive(backend)
        owner.wait_until_up()
    assert watch.violations == []


def test_the_next_postgres_does_not_touch_the_cluster_while_a_backend_lives(
    make_program: Callable[..., PostgresProgram],
) -> None:
    owner = make_program().start().wait_until_serving()
    with a_frozen_backend(owner) as backend:
        processes.kill(owner.pid)
        owner.wait()
        wait_until(lambda: alone(owner, backend), "only the frozen backend is left")
        pid_file = (owner.storage.pgdata / "postmaster.pid").read_text()
        following = make_program().start()
        wait_until(lambda: locks.waits(following.pid), "it waits in the lock")
        assert (owner.storage.pgdata / "postmaster.pid").read_text() == pid_file
        assert owner.storage.socket.exists()
        processes.kill(backend)
        following.wait_until_serving()


@contextmanager
def a_frozen_backend(owner: Appliance | PostgresProgram) -> Iterator[int]:
    """A backend in the middle of a query, stopped, so that it cannot see its postmaster die."""
    connection = psycopg.connect(
        host=str(owner.storage.run), user="postgres", dbname="postgres", autocommit=True
    )
    backend = connection.info.backend_pid
    connection.pgconn.send_query(b"SELECT pg_sleep(1000)")
    wait_until(lambda: shown(backend).command.endswith("SELECT"), "the query runs")
    os.kill(backend, signal.SIGSTOP)
    wait_until(lambda: shown(backend).state == "T", "the backend is frozen")
    try:
        yield backend
    finally:
        processes.kill(backend)
        connection.close()


def kill_the_postmaster_of(owner: Appliance) -> int:
    """SIGKILL it and wait for the process that is started in its place; returns its number."""
    postmaster = owner.programs()["postgres"].pid
    processes.kill(postmaster)

    def next_one() -> int:
        program = owner.programs().get("postgres")
        return program.pid if program and program.pid != postmaster else 0

    return wait_until(next_one, "the supervisor starts it again")


def alone(owner: Appliance | PostgresProgram, backend: int) -> bool:
    return [p.pid for p in processes.postgres_processes(owner.storage.pgdata)] == [backend]


def shown(pid: int) -> processes.Process:
    process = processes.read(pid)
    assert process, f"{pid} is gone"
    return process
