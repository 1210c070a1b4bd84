"""More than two containers: all get healthy, one owns, and none asks for the database twice."""

import pytest

from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.waiting import wait_until


@pytest.mark.first_start
def test_three_containers_started_at_once_on_an_empty_storage_all_get_healthy(
    make_appliance: Make,
) -> None:
    three = [make_appliance().start() for _ in range(3)]
    for one in three:
        one.wait_until_up()
    with Load(*three) as load:
        load.wait_for_more()
    load.verify(three[0])
    [owner] = [one for one in three if one.postmaster()]
    scene.assert_roles(owner, *(one for one in three if one is not owner))


def test_the_requester_gets_the_database_and_not_the_standby_that_waits_longest(
    owner: Appliance, make_appliance: Make
) -> None:
    standbys: list[Appliance] = []
    with Load(owner) as load:
        for count in range(1, 4):
            new = make_appliance().start().wait_until_up()
            standbys.append(owner)
            load.switch(new, *standbys)
            load.wait_for_more()
            scene.assert_roles(new, *standbys)
            scene.wait_for_kinds(new, *["handoff"] * count)
            owner = new
    load.verify(owner)
    assert not owner.storage.successor.exists()


def test_whoever_had_the_database_before_does_not_ask_for_it_when_its_agent_is_killed(
    owner: Appliance, make_appliance: Make
) -> None:
    new = make_appliance().start().wait_until_up()
    with Load(owner, new) as load:
        for killed in (owner, new):
            kill_the_agent(killed)
        load.wait_for_more()
    load.verify(new)
    scene.assert_roles(new, owner)
    assert scene.REQUESTS not in new.log
    assert scene.kinds(new) == ["handoff"]


def test_an_owner_that_took_the_database_back_gives_it_again_and_never_asks_for_it(
    owner: Appliance, make_appliance: Make
) -> None:
    first = make_appliance().start().wait_until_up()
    first.kill_everything()
    scene.wait_until_owner(owner)
    kill_the_agent(owner)
    second = make_appliance().start().wait_until_up()
    kill_the_agent(owner)
    kill_the_agent(second)
    scene.assert_roles(second, owner)
    assert scene.REQUESTED not in owner.log
    assert second.log.count(scene.REQUESTED) == 1


def kill_the_agent(appliance: Appliance) -> None:
    """SIGKILL it and wait until the next one has done all that an agent does at its start."""
    pid, served = scene.agent(appliance), appliance.log.count("agent serving on")
    processes.kill(pid)
    wait_until(
        lambda: appliance.log.count("agent serving on") > served, f"it is back\n{appliance.log}"
    )
