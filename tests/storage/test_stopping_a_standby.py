"""A standby can be stopped at any time, quickly and without a word too many."""

import signal
from collections.abc import Callable

from tests.harness import locks
from tests.harness.appliance import Appliance
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until


def test_a_standby_that_waits_in_the_lock_ends_at_once_and_without_a_traceback(
    make_program: Callable[..., PostgresProgram],
) -> None:
    owner = make_program().start().wait_until_serving()
    standby = make_program().start()
    wait_until(lambda: locks.waits(standby.pid), "it waits in the lock")
    standby.send(signal.SIGINT)
    assert standby.wait(timeout_s=5) != 0
    assert "Traceback" not in standby.log
    assert owner.serves()


def test_stopping_a_standby_appliance_leaves_the_owner_serving(
    pair: tuple[Appliance, Appliance],
) -> None:
    owner, standby = pair
    postmaster = owner.postmaster()
    assert standby.stop(timeout_s=10) == 0
    assert "Traceback" not in standby.log
    assert owner.postmaster() == postmaster
    assert owner.status("/up") == 200
