"""A redeploy as the platform does it: the database moves first, and no client notices."""

from contextlib import closing
from typing import Any

import pytest

from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.nightly import most_at_night
from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch

# A quarter of a second where nothing else runs; other tests may run here.
BLINK_S = 5.0
PHASES = {"claim", "dump", "checkpoint", "second_checkpoint", "stop", "prepare", "start", "away"}


def test_a_handoff_under_load_on_both_containers_fails_no_request_and_swaps_the_roles(
    owner: Appliance, make_appliance: Make
) -> None:
    new = make_appliance()
    with Load(owner) as load:
        with closing(owner.connect()) as dump:
            # It keeps the owner waiting until the clients have come to the new container too.
            dump.execute("SET application_name = 'pg_dump'")
            new.start()
            wait_until(lambda: new.status("/ready") == 200, "it serves by the owner", 60)
            load.switch(owner, new)
            load.wait_for_more()
            assert new.status("/up") == 503
        new.wait_until_up()
        load.wait_for_more()
    load.verify(owner)
    load.verify(new)
    scene.assert_roles(new, owner)
    assert load.outcomes.longest_s < BLINK_S
    assert scene.REQUESTS in owner.log
    assert scene.HANDS_OVER in owner.log
    for text in (scene.REQUESTED, scene.OWNS_NOW, "handoff complete from="):
        assert text in new.log
    [record] = scene.status(new)["database"]["handoffs"]
    check_record(record, load)


def test_when_the_new_container_is_killed_the_old_one_owns_again_and_fails_no_request(
    owner: Appliance, make_appliance: Make
) -> None:
    new = make_appliance().start()
    with Load(owner) as load:
        new.wait_until_up()
        load.wait_for_more()
        new.kill_everything()
        scene.wait_until_owner(owner)
        load.wait_for_more()
    load.verify(owner)
    scene.wait_for_kinds(owner, "handoff", "takeover")
    assert load.outcomes.longest_s < scene.TAKE_BACK_LIMIT_S


@pytest.mark.parametrize("redeploys", most_at_night([4, 10], [4]))
def test_redeploys_without_a_pause_fail_no_request(
    owner: Appliance, make_appliance: Make, witness: PostmasterWatch, redeploys: int
) -> None:
    with Load(owner) as load:
        for _ in range(redeploys):
            new = make_appliance().start().wait_until_up()
            load.move(new)
            owner.kill_everything()
            owner = new
        load.wait_for_more()
    load.verify(owner)
    assert len(witness.postmasters_seen) == redeploys + 1
    scene.wait_for_kinds(owner, *["handoff"] * redeploys)


def check_record(record: dict[str, Any], load: Load) -> None:
    """What is remembered of a handoff under load: every phase, and what was held."""
    phases = record["phases_ms"]
    assert record["kind"] == "handoff"
    assert phases.keys() == PHASES
    assert all(value >= 0 for value in phases.values()), phases
    assert phases["away"] >= phases["stop"] + phases["prepare"]
    assert record["requests_held"] > 0
    assert record["requests_given_up"] == 0
    assert 0 < record["longest_hold_ms"] <= load.outcomes.longest_s * 1000
