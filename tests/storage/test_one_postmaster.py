"""Invariant 1: two appliances on one storage never run two postmasters."""

import signal
from collections.abc import Callable

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch

Break = Callable[[Appliance], object]


def stop(owner: Appliance) -> None:
    assert owner.stop() == 0


def kill_all_at_once(owner: Appliance) -> None:
    owner.kill_everything()


def kill_the_postmaster(owner: Appliance) -> None:
    postmaster = owner.postmaster()
    assert postmaster
    processes.kill(postmaster.pid)
    wait_until(lambda: not processes.alive(postmaster.pid), "the end of the postmaster")


def kill_the_supervisor_only(owner: Appliance) -> None:
    below = [process.pid for process in processes.descendants(owner.process.pid)]
    owner.process.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not any(map(processes.alive, below)), "the kernel ends its programs")


BREAKS: tuple[Break, ...] = (
    kill_all_at_once,
    kill_the_postmaster,
    stop,
    kill_the_supervisor_only,
    kill_all_at_once,
    stop,
)


def test_two_appliances_never_run_two_postmasters_while_owners_are_broken_again_and_again(
    make_appliance: Callable[..., Appliance], pair: tuple[Appliance, Appliance]
) -> None:
    owner, standby = pair
    owner.connect().execute("CREATE TABLE survivors (round integer)").connection.close()
    with PostmasterWatch(owner.storage.pgdata) as watch:
        for number, break_it in enumerate(BREAKS):
            break_it(owner)
            owner, standby = _owner_and_standby(owner, standby, make_appliance)
            with owner.connect() as connection:
                connection.execute("INSERT INTO survivors VALUES (%s)", (number,))
                rows = connection.execute("SELECT round FROM survivors ORDER BY 1").fetchall()
            assert [row[0] for row in rows] == list(range(number + 1))
    assert watch.violations == []
    assert len(watch.postmasters_seen) >= len(BREAKS), "the watch slept"


def test_a_standby_serves_requests_through_the_owners_socket(
    pair: tuple[Appliance, Appliance],
) -> None:
    owner, standby = pair
    assert owner.postmaster()
    assert standby.postmaster() is None
    assert "owns the database; serving through it" in standby.log
    account = {"name": "Cash", "kind": "asset", "currency": "EUR"}
    made = standby.call("POST", "/api/accounts", json=account)
    assert made.status_code == 201, made.text
    assert owner.call("GET", "/api/accounts").json()["items"] == [made.json()]


def _owner_and_standby(
    owner: Appliance, standby: Appliance, make: Callable[..., Appliance]
) -> tuple[Appliance, Appliance]:
    """Replace who has ended; wait until one of the two owns the database and both are up."""
    if owner.process.poll() is not None:
        owner = make().start()
    pair = (owner, standby)
    wait_until(lambda: any(a.postmaster() for a in pair), "one of the two owns the database")
    for appliance in pair:
        appliance.wait_until_up()
    return pair if owner.postmaster() else (standby, owner)
