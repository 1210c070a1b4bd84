"""A standby takes over the moment the owner is gone, whatever the owner left behind."""

import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from appliance.system import system_users
from tests.harness import locks, processes
from tests.harness.appliance import Appliance, waiting
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

STALE_PID_FILE = "{pid}\n{pgdata}\n1700000000\n5432\n{run}\n\n  1234567         0\nready   \n"
End = Callable[[Appliance], object]


@pytest.mark.parametrize("end", [Appliance.stop, Appliance.kill_everything])
def test_a_standby_takes_over_with_all_data_when_the_owner_ends(
    pair: tuple[Appliance, Appliance], end: End
) -> None:
    owner, standby = pair
    waits = waiting(standby)
    assert waits
    owner.connect().execute("CREATE TABLE kept AS SELECT 42 AS answer").connection.close()
    end(owner)
    taken = wait_until(standby.postmaster, "the standby has a postmaster")
    assert taken.pid == waits.pid, "the waiting process itself becomes Postgres"
    standby.wait_until_up()
    with standby.connect() as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert "the owner is gone; this container owns the database now" in standby.log


def test_when_all_die_at_once_the_kernel_frees_the_lock(appliance: Appliance) -> None:
    assert not locks.is_free(appliance.storage)
    appliance.kill_everything()
    wait_until(lambda: locks.is_free(appliance.storage), "the lock is free")
    assert (appliance.storage.pgdata / "postmaster.pid").exists()


@pytest.mark.parametrize("whose", ["of the test", "of a foreign process of Postgres' user"])
def test_a_stale_postmaster_pid_whose_number_is_alive_again_does_not_stop_the_start(
    make_program: Callable[..., PostgresProgram], whose: str
) -> None:
    dead = make_program().start().wait_until_serving()
    dead.kill_everything()
    storage, user = dead.storage, system_users.detect().database
    uid = user.uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], cwd="/", user=uid) as foreign:
        pid = os.getpid() if whose == "of the test" else foreign.pid
        lock_file = storage.socket.with_name(".s.PGSQL.5432.lock")
        for path in (storage.pgdata / "postmaster.pid", lock_file):
            path.write_text(STALE_PID_FILE.format(pid=pid, pgdata=storage.pgdata, run=storage.run))
            os.chown(path, user.uid, user.gid)
        try:
            make_program().start().wait_until_serving()
            assert processes.alive(pid)
        finally:
            foreign.kill()


def test_a_standby_that_waits_or_dies_removes_nothing_of_the_owner(
    make_program: Callable[..., PostgresProgram],
) -> None:
    owner = make_program().start().wait_until_serving()
    files = [owner.storage.pgdata / "postmaster.pid", owner.storage.socket, owner.storage.owner]
    files.append(owner.storage.socket.with_name(".s.PGSQL.5432.lock"))
    before = _identities(files)
    for number in (signal.SIGINT, signal.SIGKILL):
        standby = make_program().start()
        wait_until(partial(locks.waits, standby.pid), "it waits in the lock")
        assert _identities(files) == before
        standby.send(number)
        standby.wait()
        assert _identities(files) == before
    owner.connect(database="postgres").close()


def test_the_lock_file_is_the_same_file_over_many_takeovers(
    make_program: Callable[..., PostgresProgram],
) -> None:
    owner = make_program().start().wait_until_serving()
    inode = owner.storage.lock.stat().st_ino
    for takeover in range(6):
        standby = make_program().start()
        wait_until(partial(locks.waits, standby.pid), "it waits in the lock")
        if takeover % 2:
            owner.kill_everything()
        else:
            owner.send(signal.SIGINT)
            owner.wait()
        owner = standby.wait_until_serving()
        assert owner.storage.lock.stat().st_ino == inode


def _identities(files: list[Path]) -> list[tuple[int, int]]:
    return [(path.lstat().st_ino, path.lstat().st_mtime_ns) for path in files]
