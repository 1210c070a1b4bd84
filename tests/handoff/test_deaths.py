"""Owners that die without a word: whoever lives takes the database, and its clients only wait."""

import pytest

from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.waiting import wait_until

Pair = tuple[Appliance, Appliance]


@pytest.fixture
def pair(owner: Appliance, make_appliance: Make) -> Pair:
    """The owner, and the standby that gave it the database."""
    return make_appliance().start().wait_until_up(), owner


def test_when_the_owners_postmaster_is_killed_no_request_fails_on_either_container(
    pair: Pair,
) -> None:
    owner, standby = pair
    master = owner.postmaster()
    assert master
    with Load(owner, standby) as load:
        processes.kill(master.pid)
        wait_until(lambda: not processes.alive(master.pid), "its end")
        wait_until(lambda: any(scene.owns(one) for one in pair), "one of the two owns it")
        load.wait_for_more()
    load.verify(standby)
    assert load.outcomes.longest_s < scene.TAKE_BACK_LIMIT_S
    assert len([one for one in pair if scene.owns(one)]) == 1


def test_when_the_owners_container_is_killed_no_request_fails_on_the_standby(pair: Pair) -> None:
    owner, standby = pair
    with Load(standby) as load:
        owner.kill_everything()
        scene.wait_until_owner(standby)
        load.wait_for_more()
    load.verify(standby)
    assert load.outcomes.longest_s < scene.TAKE_BACK_LIMIT_S
    scene.wait_for_kinds(standby, "handoff", "takeover")


@pytest.mark.parametrize("again", [0, 1], ids=["the owner", "the standby"])
def test_when_both_are_killed_at_once_either_of_them_started_again_serves_everything(
    pair: Pair, again: int
) -> None:
    with Load(*pair) as load:
        load.wait_for_more()
    for pid in [pid for one in pair for pid in processes.with_descendants(one.process.pid)]:
        processes.kill(pid)
    for one in pair:
        one.kill_everything()
    pair[again].start().wait_until_up()
    load.verify(pair[again])
    scene.assert_roles(pair[again])
