"""The new container's side: ask the owner for the database, once, before saying `healthy`.

Health never hangs on courtesy: an owner that does not answer costs a bounded wait, and then this
container serves as a standby, through the owner's Postgres.
"""

import socket
import time

from appliance import __version__
from appliance.handoff import channel
from appliance.handoff.channel import Channel, ChannelClosed, Message
from appliance.handoff.phases import milliseconds
from appliance.log import write_line
from appliance.postgres import cluster, ownership
from appliance.postgres.instances import Folder
from appliance.postgres.ownership import Owner
from appliance.storage import Storage

PROGRAM = "steward"

# The platform waits 120 s for health, and migrations come before this.
LIMIT_S = 60.0
# An owner that is idle answers in a tenth of a second; one that has just started, in a second.
ANSWER_LIMIT_S = 6.0
# From the owner's last word to the lock: its shutdown, which it aborts when it takes too long.
TAKE_LIMIT_S = 20.0

_LOOK_EVERY_S = 0.01
_ASK_AGAIN_EVERY_S = 0.25


class _Refused(Exception):  # noqa: N818
    """The owner said no, or nothing. The text says why, for the log."""


class _Later(Exception):  # noqa: N818
    """The owner is about to change, or just starts: look again."""


def claim(storage: Storage, folder: Folder, listener: socket.socket) -> Message | None:
    """Get the database from its owner, if another container owns it and lives.

    Returns what our Postgres program said when it got the lock, together with the handover's
    facts; None if there was nothing to claim, or if this container stays a standby. Safe to call
    again after a crash: no container claims twice. Raises StorageError if Postgres could not be
    started here.
    """
    if folder.has_claimed() or folder.is_settled():
        return None
    deadline = time.monotonic() + LIMIT_S
    while (owner := _another_owner(storage, folder, deadline)) is not None:
        try:
            return _receive_from(owner, storage, folder, listener, deadline)
        except _Refused as refusal:
            write_line(PROGRAM, f"staying a standby of container {owner.hostname}: {refusal}")
            return None
        except _Later:
            time.sleep(_ASK_AGAIN_EVERY_S)
    return None


def _another_owner(storage: Storage, folder: Folder, deadline: float) -> Owner | None:
    """The owner, once our own Postgres program waits for its lock; None if that is us."""
    while time.monotonic() < deadline:
        owner = ownership.read_owner(storage)
        if owner is not None and owner.instance == folder.name:
            return None
        if owner is not None and folder.waits_since():
            return owner
        time.sleep(_LOOK_EVERY_S)
    write_line(PROGRAM, f"staying a standby: the database could not be had within {LIMIT_S:g} s")
    return None


def _receive_from(
    owner: Owner, storage: Storage, folder: Folder, listener: socket.socket, deadline: float
) -> Message:
    cluster.check_room(storage)
    folder.note_claim()
    with _reach(owner, storage) as owners_steward:
        phases_ms = _converse(owners_steward, owner, folder, deadline)
    return _await_taking(listener) | {"phases_ms": phases_ms}


def _reach(owner: Owner, storage: Storage) -> Channel:
    theirs = Folder(storage, owner.instance)
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
    owners_steward: Channel, owner: Owner, folder: Folder, deadline: float
) -> dict[str, float]:
    """Have the owner stop its Postgres; returns what it took until then, in milliseconds."""
    started = time.monotonic()
    try:
        owners_steward.send(
            "claim",
            protocol=channel.PROTOCOL,
            instance=folder.name,
            hostname=socket.gethostname(),
            version=__version__,
        )
        _expect("accepted", owners_steward, ANSWER_LIMIT_S)
        write_line(PROGRAM, f"claimed the database from container {owner.hostname}")
        ready = _expect("ready", owners_steward, deadline - time.monotonic())
        phases_ms = dict(ready["phases_ms"])
        if not folder.waits_since():
            raise _Refused("the Postgres program of this container does not wait for it")
        owners_steward.send("go")
        stopping_at = float(_expect("stopping", owners_steward, ANSWER_LIMIT_S)["at"])
        return phases_ms | {"claim": milliseconds(started, stopping_at)}
    except ChannelClosed as error:
        raise _Later from error
    except (KeyError, TypeError, ValueError) as error:
        raise _Refused("its answer could not be understood") from error


def _expect(kind: str, owners_steward: Channel, timeout_s: float) -> Message:
    try:
        message = owners_steward.receive(max(0.0, timeout_s))
    except TimeoutError as error:
        raise _Refused(f"it did not answer within {timeout_s:.0f} s") from error
    if message["type"] == "refused":
        raise _Refused(str(message.get("reason", "it refused")))
    if message["type"] == "busy":
        raise _Later
    if message["type"] != kind:
        raise _Refused("its answer could not be understood")
    return message


def _await_taking(listener: socket.socket) -> Message:
    """Wait until our Postgres program has the lock; it says so to our own socket."""
    deadline = time.monotonic() + TAKE_LIMIT_S
    while (remaining := deadline - time.monotonic()) > 0:
        accepted = channel.accept(listener, remaining)
        if accepted is None:
            continue
        with accepted[0] as caller:
            if accepted[1]["type"] == "taken":
                return accepted[1]
            caller.reply("busy")
    # Whoever has it now keeps it: nobody claims twice.
    raise _Refused(f"its own Postgres did not take it within {TAKE_LIMIT_S:g} s")
