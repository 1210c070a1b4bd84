"""The program that becomes Postgres: take the lock, prepare the cluster, exec.

While another container owns the cluster this process waits in the lock: that is the standby.
"""

from typing import NoReturn

from appliance.identities import Identities, become
from appliance.log import write_line
from appliance.postgres import binaries, cluster, ownership
from appliance.process import become as become_program
from appliance.process import end_with_parent
from appliance.resources import Resources
from appliance.storage import Storage

PROGRAM = "postgres"


def serve(
    storage: Storage,
    identities: Identities,
    resources: Resources,
    instance: str,
    *,
    locks_exclude: bool = True,
) -> NoReturn:
    """Become Postgres as the owner of the cluster; waits as long as another one owns it."""
    user = identities.database
    descriptor = ownership.open_lock(storage, user.uid, user.gid)
    _take(descriptor, storage, locks_exclude=locks_exclude)
    _note_owner(storage, instance)
    created = cluster.prepare(storage, identities, resources, descriptor)
    if locks_exclude:
        cluster.remove_stale_files(storage)
    write_line(PROGRAM, f"starting on the {'new' if created else 'existing'} cluster")
    ownership.hand_to_successor(descriptor)
    executable = binaries.program("postgres")
    become(user, storage.pgdata, executable)
    end_with_parent()
    become_program(executable, ["-D", str(storage.pgdata)])


def _take(descriptor: int, storage: Storage, *, locks_exclude: bool) -> None:
    try:
        if ownership.try_lock(descriptor):
            return
    except OSError as error:
        if locks_exclude:
            raise
        write_line(PROGRAM, f"running without a lock (ALLOW_BROKEN_FLOCK): {error.strerror}")
        return
    owner = ownership.read_owner(storage)
    held_by = f"container {owner.hostname} since {owner.since}" if owner else "another container"
    write_line(PROGRAM, f"standby: {held_by} owns the database; serving through it until it ends")
    ownership.wait_for_lock(descriptor)
    write_line(PROGRAM, "the owner is gone; this container owns the database now")


def _note_owner(storage: Storage, instance: str) -> None:
    try:
        ownership.note_owner(storage, instance)
    except OSError as error:
        # It is for people only; if the disk is full, the cluster's own check says so.
        write_line(PROGRAM, f"{storage.owner} could not be written: {error.strerror}")
