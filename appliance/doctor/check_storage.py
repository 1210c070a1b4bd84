"""The folder that holds all data, and who owns what is in it."""

import os

from appliance.doctor.finding import RUN_AS, Finding, Subject, ok, problem, warning
from appliance.postgres import disk_space
from appliance.storage import lock
from appliance.storage.paths import SOCKET_PATH_LIMIT
from appliance.system.limits import MEBIBYTE
from appliance.system.text import mebibytes

_FREE_BYTES_WARNING = 1024 * MEBIBYTE
_FIRST_START = "The first start makes it: appliance up"


def folder(subject: Subject) -> Finding:
    """Can it be written?"""
    root = subject.storage.root
    if not root.exists():
        return warning(f"{root} does not exist yet", _FIRST_START)
    if not root.is_dir():
        return problem(f"{root} is not a folder", "Choose another one with STORAGE_DIR.")
    if not os.access(root, os.W_OK | os.X_OK):
        return problem(f"{root} cannot be written by this user", RUN_AS)
    return ok(f"{root} can be written")


def disk(subject: Subject) -> Finding:
    """Is there room?"""
    if not subject.facts.exists:
        return warning("not looked at: the storage does not exist yet", _FIRST_START)
    space = subject.facts.disk_space
    text = f"{mebibytes(space.free_bytes)} of {mebibytes(space.total_bytes)} are free"
    if space.free_bytes < disk_space.BYTES_TO_START:
        return problem(text, "The database does not start on a full disk: make room.")
    if space.free_bytes < _FREE_BYTES_WARNING:
        return warning(text, "Make room before it is full.")
    return ok(text)


def socket_path(subject: Subject) -> Finding:
    """Is the path short enough for a socket?"""
    length = len(os.fsencode(subject.storage.socket))
    if length > SOCKET_PATH_LIMIT:
        return problem(
            f"{subject.storage.socket} has {length} bytes, too many for a socket",
            "Choose a shorter STORAGE_DIR.",
        )
    return ok(f"{length} of {SOCKET_PATH_LIMIT} bytes")


def locks(subject: Subject) -> Finding:
    """Do file locks exclude here?"""
    if subject.settings.allow_broken_flock:
        return warning(
            "not tested: ALLOW_BROKEN_FLOCK is set", "Never run two containers on this storage."
        )
    if not subject.storage.run.exists():
        return warning(f"not tested: {subject.storage.run} does not exist yet", _FIRST_START)
    lock.check_locks_exclude(subject.storage)
    return ok("two opens of one file exclude each other")


def owner(subject: Subject) -> Finding:
    """Who owns the database now?"""
    if not subject.facts.is_owned:
        return ok("nobody owns the database now; it is not running")
    if (last := subject.facts.owner) is None:
        return ok("somebody owns the database")
    return ok(f"{last.hostname} ({last.instance}) owns the database since {last.since}")
