"""The owner's side: make the stop short, make sure that somebody waits for it, stop."""

import time

import psycopg

from appliance.database import application_names
from appliance.database.connect import Connection, connect, reason
from appliance.handoff import messages, successor
from appliance.handoff.channel import Channel, ChannelClosed
from appliance.handoff.messages import Accepted, Busy, Go, Ready, Refused, Request, Stopping
from appliance.handoff.phases import Stopwatch
from appliance.handoff.successor import Successor
from appliance.postgres import config, disk_space, postmaster
from appliance.postgres.postmaster import Postmaster
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system.log import write_line
from appliance.system.text import mebibytes

PROGRAM = "agent"

# A dump that is under way may end first. After that the database moves, and the dump fails: the
# platform would kill it with this container anyway.
DUMP_LIMIT_S = 20.0
CHECKPOINT_LIMIT_S = 30.0
GO_LIMIT_S = 5.0
# After two checkpoints the fast shutdown takes tens of milliseconds. Longer than this, a process
# of it hangs; the immediate shutdown kills that one after 5 s more.
STOP_LIMIT_S = 5.0

_LOOK_EVERY_S = 0.1
_DUMPS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY(%s)"


class _Refusal(Exception):  # noqa: N818 - a signal between functions here, never seen outside
    """Why the database is not handed over now, for the requester's log."""


class _NotNow(Exception):  # noqa: N818 - a signal between functions here, never seen outside
    """The database is not here at this moment."""


def hand_over_database(
    storage: Storage, instance: str, supervisor: int, requester: Channel, request: Request
) -> None:
    """Hand the database to a requester, or tell it why not; then the owner stays the owner.

    `supervisor` is the process that runs Postgres here.
    """
    who = f"container {request.hostname} (version {request.version})"
    try:
        protocol = _choose_protocol(request)
        ours = _check(storage, instance, supervisor)
        write_line(PROGRAM, f"{who} requests the database")
        requester.send(Accepted(protocol))
        requester.send(Ready(_make_stop_short(storage)))
        _await_go(requester)
        stopping_at = _announce_successor(storage, request.instance)
    except _NotNow:
        # It has just moved, or Postgres is being started again: the requester looks once more.
        requester.reply(Busy())
    except _Refusal as refusal:
        write_line(PROGRAM, f"{who} does not get the database: {refusal}")
        requester.reply(Refused(str(refusal)))
    except ChannelClosed:
        write_line(PROGRAM, f"{who} is gone; this container keeps the database")
    else:
        write_line(PROGRAM, f"handing the database to {who}")
        _stop(ours, requester, stopping_at)


def _choose_protocol(request: Request) -> int:
    try:
        return messages.common_protocol(request)
    except ValueError as error:
        raise _Refusal(str(error)) from error


def _check(storage: Storage, instance: str, supervisor: int) -> Postmaster:
    owner = lock.read_owner(storage)
    ours = postmaster.find(storage, supervisor)
    if owner is None or owner.instance != instance or ours is None:
        raise _NotNow
    free = storage.free_bytes()
    if free < disk_space.BYTES_TO_START:
        # Whoever takes it could not start Postgres; here it runs.
        raise _Refusal(f"the disk is full ({mebibytes(free)} are free)")
    return ours


def _make_stop_short(storage: Storage) -> dict[str, float]:
    watch = Stopwatch()
    try:
        with connect(
            storage,
            config.SUPERUSER,
            database="postgres",
            program=application_names.AGENT,
            statement_timeout_s=CHECKPOINT_LIMIT_S,
        ) as connection:
            _wait_for_dumps(connection)
            watch.lap("dump")
            connection.execute("CHECKPOINT")
            watch.lap("checkpoint")
            # The first may take long, and writes go on meanwhile: this leaves little to the stop.
            connection.execute("CHECKPOINT")
            watch.lap("second_checkpoint")
    except psycopg.Error as error:
        raise _Refusal(f"Postgres does not answer as it should: {reason(error)}") from error
    return watch.phases_ms


def _wait_for_dumps(connection: Connection) -> None:
    deadline = time.monotonic() + DUMP_LIMIT_S
    said = False
    while connection.execute(_DUMPS, [[*application_names.DUMPS]]).fetchone() != (0,):
        if time.monotonic() >= deadline:
            write_line(PROGRAM, "the dump goes on; it will fail, because the database moves now")
            return
        if not said:
            write_line(PROGRAM, f"a dump is running; it has {DUMP_LIMIT_S:g} s to end")
            said = True
        time.sleep(_LOOK_EVERY_S)


def _await_go(requester: Channel) -> None:
    try:
        message = requester.receive(GO_LIMIT_S)
    except TimeoutError as error:
        raise _Refusal("it did not confirm that it is ready") from error
    if not isinstance(message, Go):
        raise _Refusal("its answer could not be understood")
    # It may have said so long ago, to a container that was paused, and serve as a standby now.
    if not requester.is_open():
        raise ChannelClosed("it has given up")


def _announce_successor(storage: Storage, instance: str) -> float:
    stopping_at = time.monotonic()
    try:
        successor.announce(storage, Successor(instance, stopping_at))
    except OSError as error:
        raise _Refusal(f"{storage.successor} cannot be written: {error.strerror}") from error
    return stopping_at


def _stop(ours: Postmaster, requester: Channel, stopping_at: float) -> None:
    ours.shut_down()
    try:
        requester.send(Stopping(stopping_at))
    except ChannelClosed:
        write_line(PROGRAM, "it is gone; whoever gets the lock owns the database now")
    if not ours.has_ended(STOP_LIMIT_S):
        write_line(PROGRAM, f"Postgres did not stop within {STOP_LIMIT_S:g} s; aborting it")
        ours.abort()
