"""Which operating system user runs what.

In the image Postgres and the API have users of their own, with fixed numbers. On another machine
root uses two users that every Linux has; a normal user runs everything as itself.
"""

import ctypes
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import StorageError

IMAGE_USERS = ("appliance-db", "appliance-api")
ROOT_HOST_USERS = ("daemon", "nobody")


@dataclass(frozen=True)
class SystemUser:
    """An operating system user, by name and number."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class SystemUsers:
    """Who runs Postgres and owns its files, and who runs the API."""

    database: SystemUser
    api: SystemUser


def detect() -> SystemUsers:
    """Choose the users for this machine; fails with a sentence if they do not exist."""
    if os.geteuid() != 0:
        me = _by_number(os.geteuid())
        return SystemUsers(database=me, api=me)
    for database, api in (IMAGE_USERS, ROOT_HOST_USERS):
        try:
            return SystemUsers(database=_by_name(database), api=_by_name(api))
        except KeyError:
            continue
    raise StorageError(
        "Running as root, and there is no unprivileged user to run Postgres as: neither "
        f"{' and '.join(IMAGE_USERS)} nor {' and '.join(ROOT_HOST_USERS)} exist.",
        "Run as a normal user instead.",
    )


def may_ask_for_backups() -> frozenset[int]:
    """The users, by number, who may ask the agent for work on backups: root, it, the API."""
    me = os.geteuid()
    trusted = {0, me}
    for database, api in (IMAGE_USERS, ROOT_HOST_USERS):
        with suppress(KeyError):
            if _by_name(database).uid == me:
                trusted.add(_by_name(api).uid)
    return frozenset(trusted)


def drop_privileges(user: SystemUser, *needed: Path) -> None:
    """Drop root's privileges for good; a no-op for a normal user.

    `needed` are paths this user must be able to reach. Where a parent folder is closed to it (a
    checkout or an interpreter under /root), one capability is kept: to search and read.
    """
    if os.geteuid() != 0:
        return
    closed = [path for path in needed if not can_reach(path, user)]
    if closed:
        _keep_capabilities()
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.umask(0o077)
    if closed:
        _reduce_to_search_capability(closed[0], user)


def can_reach(path: Path, user: SystemUser) -> bool:
    """Whether every folder from the root down to `path` lets this user through."""
    folders = [folder for folder in (path, *path.parents) if folder.is_dir()]
    return all(_lets_through(folder.stat(), user) for folder in folders)


def _lets_through(status: os.stat_result, user: SystemUser) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _by_name(name: str) -> SystemUser:
    entry = pwd.getpwnam(name)
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _by_number(uid: int) -> SystemUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise StorageError(
            f"User {uid} has no name on this machine; Postgres identifies its clients by name.",
            "Run as root or as a user listed in /etc/passwd.",
        ) from error
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


# capabilities(7), prctl(2), capset(2)
_PR_SET_SECUREBITS = 28
_KEEP_CAPS = 1 << 4
_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


def _keep_capabilities() -> None:
    # Without the fixup access(2) heeds capabilities too: Postgres asks it for its own programs.
    _libc().prctl(_PR_SET_SECUREBITS, _KEEP_CAPS | _NO_SETUID_FIXUP, 0, 0, 0)


def _reduce_to_search_capability(closed: Path, user: SystemUser) -> None:
    libc, mask = _libc(), 1 << _CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; then the same for capabilities above 31
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    failed = libc.capset(header, sets) != 0
    # Ambient: it must outlast the exec of Postgres.
    raised = (_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)
    if failed or libc.prctl(*raised) != 0:
        raise StorageError(
            f"The user {user.name} cannot enter {closed}, and this machine does not let it "
            "keep the right to.",
            "Put the checkout and STORAGE_DIR where every user may enter (/srv for example), "
            "or run as a normal user.",
        )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
