"""The whole owner is paused, as ONCE does for a backup: its standby's clients wait, or are told."""

from appliance.database.holds import NOTHING_CHANGED, UNKNOWN
from load.connection import ANSWER_LIMIT_S
from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness.appliance_load import CLIENTS, Load
from tests.harness.waiting import wait_until

PAUSE_S = 3.0


def test_a_pause_that_is_shorter_than_the_hold_fails_no_request(make_appliance: Make) -> None:
    standby = make_appliance().start().wait_until_up()
    owner = make_appliance().start().wait_until_up()
    with Load(standby) as load:
        with scene.paused(owner):
            load.wait_until_stalled(PAUSE_S)
        load.switch(standby, owner)
        load.wait_for_more()
    load.verify(standby)
    scene.assert_roles(owner, standby)
    assert load.outcomes.longest_s >= PAUSE_S


def test_a_longer_pause_is_answered_by_a_true_503_before_the_proxy_gives_up(
    make_appliance: Make,
) -> None:
    standby = make_appliance(HOLD_SECONDS="1").start().wait_until_up()
    owner = make_appliance().start().wait_until_up()
    with Load(standby) as load:
        with scene.paused(owner):
            wait_until(lambda: len(load.outcomes.failures) > CLIENTS, "503s", 2 * ANSWER_LIMIT_S)
        load.wait_for_more(100)
    load.verify(standby, failures=True)
    scene.assert_roles(owner, standby)
    for failure in load.outcomes.failures:
        answer = failure.response
        assert answer.status == 503, failure
        assert int(answer.headers["retry-after"]) > 0
        assert answer.document["detail"].endswith((NOTHING_CHANGED, UNKNOWN))
    assert load.outcomes.longest_s < ANSWER_LIMIT_S
