"""The new container's side: ask the owner for the database, once, before saying `healthy`.

Health never hangs on courtesy: an owner that does not answer costs a bounded wait, and then this
container serves as a standby, through the owner's Postgres.
"""

import socket
import time
from dataclasses import replace
from typing import TypeVar

from appliance import __version__
from appliance.handoff import channel
from appliance.handoff.channel import Channel, ChannelClosed
from appliance.handoff.messages import (
    HIGHEST_PROTOCOL,
    LOWEST_PROTOCOL,
    Accepted,
    Busy,
    Go,
    Message,
    Ready,
    Refused,
    Request,
    Stopping,
    Taken,
)
from appliance.handoff.phases import milliseconds
from appliance.postgres import disk_space
from appliance.storage import lock
from appliance.storage.instances import InstanceDirectory
from appliance.storage.lock import Owner
from appliance.storage.paths import Storage
from appliance.system.log import write_line

PROGRAM = "agent"

# The platform waits 120 s for health, and migrations come before this.
LIMIT_S = 60.0
# An owner that is idle answers in a tenth of a second; one that has just started, in a second.
ANSWER_LIMIT_S = 6.0
# From the owner's last word to the lock: its shutdown, which it aborts when it takes too long.
TAKE_LIMIT_S = 20.0

_LOOK_EVERY_S = 0.01
_ASK_AGAIN_EVERY_S = 0.25

_M = TypeVar("_M", bound=Message)


class _Refused(Exception):  # noqa: N818 - a signal between functions here, never seen outside
    """The owner said no, or nothing. The text says why, for the log."""


class _Later(Exception):  # noqa: N818 - a signal between functions here, never seen outside
    """The owner is about to change, or just starts: look again."""


def request_database(
    storage: Storage, directory: InstanceDirectory, own_agent: Channel
) -> Taken | None:
    """Get the database from its owner, if another container owns it and lives.

    Returns what our Postgres program told our agent when it got the lock, together with the
    handoff's facts; None if there was nothing to request, or if this container stays a standby.
    Safe to call again after a crash: no container requests it twice. Raises DiskSpaceError if
    Postgres could not be started here.
    """
    if directory.has_requested() or directory.is_handoff_complete():
        return None
    deadline = time.monotonic() + LIMIT_S
    while (owner := _another_owner(storage, directory, deadline)) is not None:
        try:
            return _receive_from(owner, storage, directory, own_agent, deadline)
        except _Refused as refusal:
            write_line(PROGRAM, f"staying a standby of container {owner.hostname}: {refusal}")
            return None
        except _Later:
            time.sleep(_ASK_AGAIN_EVERY_S)
    return None


def _another_owner(storage: Storage, directory: InstanceDirectory, deadline: float) -> Owner | None:
    """The owner, once our own Postgres program waits for its lock; None if that is us."""
    while time.monotonic() < deadline:
        owner = lock.read_owner(storage)
        if owner is not None and owner.instance == directory.name:
            return None
        if owner is not None and directory.waits_since():
            return owner
        time.sleep(_LOOK_EVERY_S)
    write_line(PROGRAM, f"staying a standby: the database could not be had within {LIMIT_S:g} s")
    return None


def _receive_from(
    owner: Owner,
    storage: Storage,
    directory: InstanceDirectory,
    own_agent: Channel,
    deadline: float,
) -> Taken:
    disk_space.check_to_start(storage)
    directory.note_request()
    with _connect_to_owner(owner, storage) as owners_agent:
        phases_ms = _converse(owners_agent, owner, directory, deadline)
    return replace(_await_acquisition(own_agent), phases_ms=phases_ms)


def _connect_to_owner(owner: Owner, storage: Storage) -> Channel:
    theirs = InstanceDirectory(storage, owner.instance)
    if not theirs.path.exists():
        raise _Refused(f"version {owner.version} knows no handoff, or its container is gone")
    until = time.monotonic() + ANSWER_LIMIT_S
    while True:
        try:
            return channel.connect(theirs.socket)
        except OSError:
            if not theirs.is_alive():
                raise _Later from None
        if time.monotonic() >= until:
            raise _Refused(f"nobody answers there within {ANSWER_LIMIT_S:g} s")
        time.sleep(_ASK_AGAIN_EVERY_S)


def _converse(
    owners_agent: Channel, owner: Owner, directory: InstanceDirectory, deadline: float
) -> dict[str, float]:
    """Have the owner stop its Postgres; returns what it took until then, in milliseconds."""
    started = time.monotonic()
    try:
        owners_agent.send(_request(directory))
        _expect(Accepted, owners_agent, ANSWER_LIMIT_S)
        write_line(PROGRAM, f"requested the database from container {owner.hostname}")
        ready = _expect(Ready, owners_agent, deadline - time.monotonic())
        if not directory.waits_since():
            raise _Refused("the Postgres program of this container does not wait for it")
        owners_agent.send(Go())
        stopping = _expect(Stopping, owners_agent, ANSWER_LIMIT_S)
        return ready.phases_ms | {"claim": milliseconds(started, stopping.at)}
    except ChannelClosed as error:
        raise _Later from error


def _request(directory: InstanceDirectory) -> Request:
    return Request(
        directory.name,
        socket.gethostname(),
        __version__,
        lowest=LOWEST_PROTOCOL,
        highest=HIGHEST_PROTOCOL,
    )


def _expect(kind: type[_M], owners_agent: Channel, timeout_s: float) -> _M:
    try:
        message: Message = owners_agent.receive(max(0.0, timeout_s))
    except TimeoutError as error:
        raise _Refused(f"it did not answer within {timeout_s:.0f} s") from error
    if isinstance(message, Refused):
        raise _Refused(message.reason)
    if isinstance(message, Busy):
        raise _Later
    if not isinstance(message, kind):
        raise _Refused("its answer could not be understood")
    return message


def _await_acquisition(own_agent: Channel) -> Taken:
    """Wait until our Postgres program has the lock; it tells our agent, and that one passes it."""
    try:
        message: Message | None = own_agent.receive(TAKE_LIMIT_S)
    except TimeoutError:
        message = None
    if not isinstance(message, Taken):
        # Whoever has it now keeps it: nobody requests it twice.
        raise _Refused(f"its own Postgres did not take it within {TAKE_LIMIT_S:g} s")
    return message
