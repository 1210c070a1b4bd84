"""Requesters of other times: the owner speaks with those it understands, and tells the others."""

import pytest

from appliance.handoff import channel
from appliance.handoff.messages import Accepted, Go, Message, Ready, Refused, Request
from tests.handoff import scene
from tests.harness.appliance import Appliance

NEW = "0" * 12


def ask(owner: Appliance, request: Request) -> list[Message]:
    """What the owner says to a request, until it is ready or says no; it keeps the database."""
    with channel.connect(scene.folder(owner) / "steward.sock") as agent:
        agent.send(request)
        answers = [agent.receive(30)]
        if isinstance(answers[0], Accepted):
            answers.append(agent.receive(60))
    return answers


@pytest.mark.parametrize(
    "request_",
    [
        Request(NEW, "7b1dafa", "0.1.0", protocol=1),
        Request(NEW, "this", "0.1.0", protocol=1, lowest=1, highest=1),
        Request(NEW, "the future", "9.0", protocol=1, lowest=1, highest=7),
    ],
    ids=["an older build", "this build", "a newer build"],
)
def test_an_owner_speaks_the_protocol_that_both_know(owner: Appliance, request_: Request) -> None:
    accepted, ready = ask(owner, request_)
    assert accepted == Accepted(protocol=1)
    assert isinstance(ready, Ready)
    scene.wait_for_line(owner, "is gone; this container keeps the database")


def test_a_requester_of_a_far_future_is_told_which_protocols_there_are(owner: Appliance) -> None:
    reason = "the new container speaks protocol 2 to 3, the owner protocol 1"
    first = owner.postmaster()
    assert ask(owner, Request(NEW, "z", "9.0", protocol=2, lowest=2, highest=3)) == [
        Refused(reason)
    ]
    scene.wait_for_line(owner, f"container z (version 9.0) does not get the database: {reason}")
    assert owner.postmaster() == first


def test_a_requester_that_does_not_say_go_does_not_get_it(owner: Appliance) -> None:
    with channel.connect(scene.folder(owner) / "steward.sock") as agent:
        agent.send(Request(NEW))
        assert agent.receive(30) == Accepted()
        assert isinstance(agent.receive(60), Ready)
        agent.send(Accepted())
        assert agent.receive(30) == Refused("its answer could not be understood")
    assert scene.HANDS_OVER not in owner.log


def test_the_first_word_must_be_a_request(owner: Appliance) -> None:
    with channel.connect(scene.folder(owner) / "steward.sock") as agent:
        agent.send(Go())
        with pytest.raises(channel.ChannelClosed):
            agent.receive(30)
    assert scene.REQUESTS not in owner.log
