"""What is on the wire: protocol 1 word for word, other builds, and which protocol is chosen."""

import json
import re
from typing import Any

import pytest

from appliance.handoff import messages
from appliance.handoff.messages import (
    Accepted,
    BackupRequest,
    Busy,
    Go,
    JobDone,
    JobFailed,
    JobProgress,
    JobStarted,
    Message,
    NotUnderstood,
    Ready,
    Refused,
    Request,
    Stopping,
    Taken,
)
from appliance.storage.lock import Owner

OWNER = Owner("a1b2c3d4e5f6", "vm", 7, "2026-01-01T10:00:00Z", "0.1.0")

# As 7b1dafa sends and reads them. `protocol`, `lowest` and `highest` came later, where it does not
# look.
PROTOCOL_1: list[tuple[Message, dict[str, Any]]] = [
    (
        Request("a1b2c3d4e5f6", "vm", "0.1.0"),
        {"type": "claim", "protocol": 1, "instance": "a1b2c3d4e5f6", "hostname": "vm"}
        | {"version": "0.1.0", "lowest": None, "highest": None},
    ),
    (Accepted(), {"type": "accepted", "protocol": 1}),
    (Ready({"dump": 1.5}), {"type": "ready", "phases_ms": {"dump": 1.5}}),
    (Go(), {"type": "go"}),
    (Stopping(1.5), {"type": "stopping", "at": 1.5}),
    (Busy(), {"type": "busy"}),
    (Refused("no"), {"type": "refused", "reason": "no"}),
    (
        Taken(1.5, 2.5, 0.5, was_successor=True, previous=OWNER),
        {"type": "taken", "at": 1.5, "prepared": 2.5, "stopping_at": 0.5, "was_heir": True}
        | {"previous": vars(OWNER), "phases_ms": {}},
    ),
    (
        BackupRequest("show", "key:a", {"name": "n"}, "0123456789abcdef", 9.5),
        {"type": "backup", "action": "show", "arguments": {"name": "n"}, "actor": "key:a"}
        | {"id": "0123456789abcdef", "not_after": 9.5},
    ),
    (JobStarted(), {"type": "started"}),
    (JobProgress({"verb": "dump"}), {"type": "progress", "step": {"verb": "dump"}}),
    (JobDone([1]), {"type": "done", "result": [1]}),
    (
        JobFailed("BackupError", "no", "yes"),
        {"type": "failed", "error": "BackupError", "message": "no", "hint": "yes"},
    ),
]


@pytest.mark.parametrize(("message", "document"), PROTOCOL_1)
def test_every_message_has_the_words_of_protocol_1(
    message: Message, document: dict[str, Any]
) -> None:
    assert messages.to_json(message) == document
    assert messages.from_json(json.loads(json.dumps(document))) == message


@pytest.mark.parametrize(("message", "document"), PROTOCOL_1)
def test_fields_of_the_future_are_ignored(message: Message, document: dict[str, Any]) -> None:
    assert messages.from_json({**document, "mood": "good"}) == message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"type": "claim", "instance": "a", "protocol": 1}, Request("a", "?", "?")),
        ({"type": "accepted"}, Accepted(1)),
        ({"type": "refused"}, Refused("it refused")),
        ({"type": "stopping", "at": 2}, Stopping(2.0)),
        ({"type": "ready", "phases_ms": {"dump": 2}}, Ready({"dump": 2.0})),
        ({"type": "taken", "at": 1.0, "prepared": 2.0, "previous": None}, Taken(1.0, 2.0)),
        ({"type": "done"}, JobDone(None)),
    ],
)
def test_what_may_be_missing(document: dict[str, Any], message: Message) -> None:
    assert messages.from_json(document) == message


@pytest.mark.parametrize(
    "document",
    [
        {"type": "something"},
        {"type": "claim"},
        {"type": "claim", "instance": 7},
        {"type": "claim", "instance": "a", "lowest": "2"},
        {"type": "ready"},
        {"type": "ready", "phases_ms": [1]},
        {"type": "ready", "phases_ms": {"dump": "long"}},
        {"type": "stopping", "at": "now"},
        {"type": "stopping", "at": None},
        {"type": "taken", "at": 1.0, "prepared": 2.0, "previous": {"instance": "a"}},
        {"type": "taken", "at": 1.0, "prepared": 2.0, "previous": "a"},
        {"type": "backup", "action": "list"},
    ],
)
def test_what_this_build_does_not_know_is_not_understood(document: dict[str, Any]) -> None:
    assert messages.from_json(document) == NotUnderstood(document["type"])


@pytest.mark.parametrize("document", [None, [], "claim", 1, {}, {"type": 1}, {"kind": "go"}])
def test_what_is_no_message_is_said_to_be_none(document: Any) -> None:
    with pytest.raises(ValueError, match="not a message"):
        messages.from_json(document)


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        ((1, 1), (1, 1), 1),
        ((1, 1), (None, None), 1),
        ((1, 1), (1, 4), 1),
        ((1, 3), (2, 5), 3),
        ((1, 3), (2, 2), 2),
        ((2, 3), (1, 2), 2),
    ],
)
def test_the_highest_common_protocol_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    ours: tuple[int, int],
    theirs: tuple[int | None, int | None],
    chosen: int,
) -> None:
    monkeypatch.setattr(messages, "LOWEST_PROTOCOL", ours[0])
    monkeypatch.setattr(messages, "HIGHEST_PROTOCOL", ours[1])
    request = Request("a", lowest=theirs[0], highest=theirs[1])
    assert messages.common_protocol(request) == chosen


@pytest.mark.parametrize(
    ("ours", "request_", "reason"),
    [
        (
            (1, 1),
            Request("a", lowest=2, highest=3),
            "the new container speaks protocol 2 to 3, the owner protocol 1",
        ),
        (
            (1, 1),
            Request("a", protocol=2),
            "the new container speaks protocol 2, the owner protocol 1",
        ),
        (
            (2, 4),
            Request("a"),
            "the new container speaks protocol 1, the owner protocol 2 to 4",
        ),
    ],
)
def test_without_a_common_protocol_both_ranges_are_named(
    monkeypatch: pytest.MonkeyPatch, ours: tuple[int, int], request_: Request, reason: str
) -> None:
    monkeypatch.setattr(messages, "LOWEST_PROTOCOL", ours[0])
    monkeypatch.setattr(messages, "HIGHEST_PROTOCOL", ours[1])
    with pytest.raises(ValueError, match=re.escape(reason)):
        messages.common_protocol(request_)
