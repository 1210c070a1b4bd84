"""Asking the steward for work on backups: the API may neither read nor write them itself.

The steward starts a program for each request; it goes on if nobody waits for it any more.
"""

import time
from dataclasses import dataclass
from typing import Any

from appliance.backups import errors
from appliance.backups.errors import BackupError
from appliance.errors import ApplianceError, DatabaseError
from appliance.handoff import channel
from appliance.handoff.channel import Channel, ChannelClosed, Message
from appliance.postgres import instances
from appliance.postgres.instances import Folder
from appliance.storage import Storage

KIND = "backup"
# A list of thousands of backups.
LONGEST_ANSWER_BYTES = 16 << 20

# A steward that was busy, or frozen, for longer does not begin any more; it says when it does.
_START_LIMIT_S = 5.0
_SAYING_SO_S = 1.0
_BY_NAME = {
    kind.__name__: kind
    for kind in (
        errors.BadRequestError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.DamagedError,
        errors.KeyRefusedError,
        errors.DestinationError,
        DatabaseError,
    )
}


@dataclass(frozen=True)
class Outcome:
    """What came of a request: its `result`, or how far it is if it did not end in time."""

    done: bool
    result: Any
    progress: dict[str, Any]


def ask(
    storage: Storage,
    instance: str | None,
    action: str,
    arguments: dict[str, Any],
    *,
    actor: str,
    wait_s: float,
    work_id: str | None = None,
) -> Outcome:
    """Have a steward do something with backups; waits so long at most for its end.

    `instance` is the container to ask, None for any. What comes of it is kept by `work_id`, if
    there is one; the action `ending` tells. Raises what the work raised, or BackupError
    if there is no steward.
    """
    deadline = time.monotonic() + wait_s
    with _reach(storage, instance) as steward:
        try:
            not_after = time.monotonic() + _START_LIMIT_S
            about = {"action": action, "arguments": arguments, "actor": actor, "id": work_id}
            steward.send(KIND, **about, not_after=not_after)
            _await_start(steward)
            return _follow(steward, deadline)
        except ChannelClosed as error:
            raise BackupError(
                f"The work on backups ({action}) was broken off.",
                "The log says why; ask again.",
            ) from error


def answer_failure(caller: Channel, error: ApplianceError) -> None:
    """Say what went wrong to whoever asked, if somebody still waits."""
    kind = type(error).__name__
    caller.reply("failed", error=kind, message=error.message, hint=error.hint)


def _reach(storage: Storage, instance: str | None) -> Channel:
    names = [instance] if instance else [one.instance for one in instances.living(storage)]
    for name in names:
        try:
            return channel.connect(Folder(storage, name).socket, LONGEST_ANSWER_BYTES)
        except OSError:
            continue
    raise _nobody()


def _await_start(steward: Channel) -> None:
    try:
        steward.receive(_START_LIMIT_S + _SAYING_SO_S)
    except TimeoutError as error:
        raise _nobody() from error


def _nobody() -> DatabaseError:
    return DatabaseError(
        "Nobody works on backups now: the steward does not answer.", "Try again in a moment."
    )


def _follow(steward: Channel, deadline: float) -> Outcome:
    progress: dict[str, Any] = {}
    while True:
        try:
            message = steward.receive(max(0.001, deadline - time.monotonic()))
        except TimeoutError:
            return Outcome(done=False, result=None, progress=progress)
        if message["type"] == "done":
            return Outcome(done=True, result=message.get("result"), progress=progress)
        if message["type"] == "failed":
            raise _error(message)
        progress = dict(message.get("step") or {})


def _error(message: Message) -> ApplianceError:
    kind = _BY_NAME.get(str(message.get("error")), BackupError)
    return kind(str(message.get("message")), str(message.get("hint") or ""))
