"""The database changes hands between both builds, in both directions, and no client notices."""

import pytest

from tests.compatibility import volume
from tests.compatibility.builds import Build
from tests.compatibility.conftest import Make, both_ways
from tests.harness.appliance_load import Load
from tests.harness.watching import PostmasterWatch

ROUNDS = 3

pytestmark = pytest.mark.usefixtures("witness")


@both_ways
def test_one_hands_the_database_to_the_other_and_gets_it_back_when_that_one_is_killed(
    make: Make, first: Build
) -> None:
    owner, other = make(first).start().wait_until_up(), make(first.other)
    with Load(owner) as load:
        other.start().wait_until_up()
        volume.assert_roles(other, owner)
        load.switch(owner, other)
        load.wait_for_more()
        load.move(owner)
        other.kill_everything()
        volume.wait_until_owner(owner)
        load.wait_for_more()
    load.verify(owner)
    volume.wait_for_kinds(owner, "handoff", "takeover")


@both_ways
def test_at_its_boot_it_removes_the_folder_of_a_dead_container_and_leaves_that_of_the_living_owner(
    make: Make, first: Build
) -> None:
    owner = make(first).start().wait_until_up()
    before = volume.in_folder(owner)
    dead = make(first).start()
    names = {volume.instance(owner), volume.instance(dead)}
    dead.kill_everything()
    assert volume.instances(owner) == names
    other = make(first.other).start()
    names = {volume.instance(owner), volume.instance(other)}
    assert volume.instances(owner) == names
    assert volume.in_folder(owner) == before


def test_three_rounds_there_and_back_under_load_fail_no_request(
    make: Make, witness: PostmasterWatch
) -> None:
    owner = make(Build.OLD).start().wait_until_up()
    with Load(owner) as load:
        for build in (Build.NEW, Build.OLD) * ROUNDS:
            new = make(build).start().wait_until_up()
            load.move(new)
            owner.kill_everything()
            owner = new
        load.wait_for_more()
    load.verify(owner)
    volume.wait_for_kinds(owner, *["handoff"] * 2 * ROUNDS)
    assert len(witness.postmasters_seen) == 2 * ROUNDS + 1
