"""An owner that does not answer: the new container waits a little, then serves as its standby."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from appliance.handoff.request_database import ANSWER_LIMIT_S
from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.freezing import frozen

# A container that starts alone is up within this, on a busy machine too.
START_LIMIT_S = 30.0

Silence = Callable[[Appliance], AbstractContextManager[None]]


@contextmanager
def frozen_agent(owner: Appliance) -> Iterator[None]:
    with frozen(scene.agent(owner)):
        yield
    scene.wait_for_line(owner, "is gone; this container keeps the database")


@contextmanager
def lost_socket(owner: Appliance) -> Iterator[None]:
    (scene.folder(owner) / "steward.sock").unlink()
    yield
    assert scene.REQUESTS not in owner.log


@pytest.mark.parametrize(
    ("silence", "reason"),
    [
        (frozen_agent, f"it did not answer within {ANSWER_LIMIT_S:g} s"),
        (lost_socket, f"nobody answers there within {ANSWER_LIMIT_S:g} s"),
    ],
    ids=["its agent is frozen", "its socket is gone"],
)
def test_an_owner_that_is_silent_costs_a_bounded_wait_and_keeps_the_database(
    owner: Appliance, make_appliance: Make, silence: Silence, reason: str
) -> None:
    first, new = owner.postmaster(), make_appliance()
    with Load(owner) as load:
        with silence(owner):
            began = time.monotonic()
            new.start().wait_until_up()
            took_s = time.monotonic() - began
        load.switch(owner, new)
        load.wait_for_more()
    load.verify(new)
    assert ANSWER_LIMIT_S <= took_s < ANSWER_LIMIT_S + START_LIMIT_S
    assert f"staying a standby of container {owner_name(owner)}: {reason}" in new.log
    assert owner.postmaster() == first, "it gave the database to somebody who had given up"
    assert scene.kinds(owner) == []
    scene.assert_roles(owner, new)


def test_an_owner_that_knows_no_handoff_keeps_the_database_until_it_dies(
    owner: Appliance, make_appliance: Make
) -> None:
    shutil.rmtree(scene.folder(owner))
    began = time.monotonic()
    new = make_appliance().start().wait_until_up()
    assert time.monotonic() - began < START_LIMIT_S
    assert "knows no handoff, or its container is gone" in new.log
    scene.assert_roles(owner, new)
    with Load(owner, new) as load:
        load.move(new)
        owner.kill_everything()
        scene.wait_until_owner(new)
        load.wait_for_more()
    load.verify(new)
    assert load.outcomes.longest_s < scene.TAKE_BACK_LIMIT_S
    scene.wait_for_kinds(new, "takeover")


def owner_name(owner: Appliance) -> str:
    """What the log calls it."""
    return str(scene.status(owner)["owner"]["hostname"])
