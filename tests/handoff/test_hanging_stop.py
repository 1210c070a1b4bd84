"""A process of the owner's Postgres that hangs costs the owner patience and clients nothing."""

from appliance.handoff.hand_over import STOP_LIMIT_S
from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.freezing import frozen

# What Postgres waits for a process that does not obey an immediate shutdown, before SIGKILL.
ABORT_LIMIT_S = 5.0
HOLD_SECONDS = 20.0


def test_a_backend_that_hangs_is_killed_and_requests_are_held_meanwhile(
    owner: Appliance, make_appliance: Make
) -> None:
    hanging = owner.connect()
    with frozen(hanging.info.backend_pid), Load(owner) as load:
        new = make_appliance().start().wait_until_up()
        load.switch(owner, new)
        load.wait_for_more()
    load.verify(new)
    assert f"Postgres did not stop within {STOP_LIMIT_S:g} s; aborting it" in owner.log
    assert STOP_LIMIT_S <= load.outcomes.longest_s < HOLD_SECONDS
    scene.assert_roles(new, owner)
    [record] = scene.status(new)["database"]["handoffs"]
    assert record["phases_ms"]["stop"] >= (STOP_LIMIT_S + ABORT_LIMIT_S - 1) * 1000
    assert record["requests_given_up"] == 0
