"""Asking the agent for work on backups: the API may neither read nor write them itself.

The agent starts a task for each request; it goes on if nobody waits for it any more.
"""

import time
from dataclasses import dataclass
from typing import Any

from appliance.backups import backup_errors
from appliance.backups.backup_errors import BackupError
from appliance.errors import ApplianceError, DatabaseError
from appliance.handoff import channel
from appliance.handoff.channel import Channel, ChannelClosed
from appliance.handoff.messages import BackupRequest, JobDone, JobFailed, JobProgress
from appliance.storage import instances
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage

# A list of thousands of backups.
LONGEST_ANSWER_BYTES = 16 << 20

# An agent that was busy, or frozen, for longer does not begin any more; it says when it does.
_START_LIMIT_S = 5.0
_REFUSAL_LIMIT_S = 1.0
_ERRORS = {
    kind.__name__: kind
    for kind in (
        backup_errors.BadRequestError,
        backup_errors.NotFoundError,
        backup_errors.ConflictError,
        backup_errors.DamagedError,
        backup_errors.KeyRefusedError,
        backup_errors.DestinationError,
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
    """Have an agent do something with backups; waits so long at most for its end.

    `instance` is the container to ask, None for any. What comes of it is kept by `work_id`, if
    there is one; the action `ending` tells. Raises what the work raised, or BackupError
    if there is no agent.
    """
    deadline = time.monotonic() + wait_s
    with _connect(storage, instance) as agent:
        try:
            not_after = time.monotonic() + _START_LIMIT_S
            agent.send(BackupRequest(action, actor, arguments, work_id, not_after))
            _await_start(agent)
            return _follow(agent, deadline)
        except ChannelClosed as error:
            raise BackupError(
                f"The work on backups ({action}) was broken off.",
                "The log says why; ask again.",
            ) from error


def answer_failure(caller: Channel, error: ApplianceError) -> None:
    """Say what went wrong to whoever asked, if somebody still waits."""
    caller.reply(JobFailed(type(error).__name__, error.message, error.hint))


def _connect(storage: Storage, instance: str | None) -> Channel:
    names = [instance] if instance else [one.instance for one in instances.living(storage)]
    for name in names:
        try:
            return channel.connect(InstanceDirectory(storage, name).socket, LONGEST_ANSWER_BYTES)
        except OSError:
            continue
    raise _no_agent()


def _await_start(agent: Channel) -> None:
    try:
        agent.receive(_START_LIMIT_S + _REFUSAL_LIMIT_S)
    except TimeoutError as error:
        raise _no_agent() from error


def _no_agent() -> DatabaseError:
    return DatabaseError(
        "Nobody works on backups now: the agent does not answer.", "Try again in a moment."
    )


def _follow(agent: Channel, deadline: float) -> Outcome:
    progress: dict[str, Any] = {}
    while True:
        try:
            message = agent.receive(max(0.001, deadline - time.monotonic()))
        except TimeoutError:
            return Outcome(done=False, result=None, progress=progress)
        if isinstance(message, JobDone):
            return Outcome(done=True, result=message.result, progress=progress)
        if isinstance(message, JobFailed):
            kind = _ERRORS.get(message.error, BackupError)
            raise kind(message.message, message.hint)
        if isinstance(message, JobProgress):
            progress = message.step
