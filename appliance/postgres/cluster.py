"""The cluster on disk: made whole or not at all, and looked at before it is started.

Every function here that writes must be called while holding the ownership lock.
"""

import os
import shlex
import shutil
from pathlib import Path

from appliance.errors import ApplianceError, StorageError
from appliance.postgres import binaries, config, disk_space
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from appliance.system.files import rename_durably, write_atomically
from appliance.system.limits import ResourceLimits
from appliance.system.process import run
from appliance.system.system_users import SystemUser, SystemUsers, drop_privileges

ALLOWED_MODES = (0o700, 0o750)

_CONTROL_WARNING = "WARNING:"


def prepare(
    storage: Storage, users: SystemUsers, resources: ResourceLimits, lock_descriptor: int
) -> bool:
    """Make the cluster ready to start; returns True if it was made just now.

    Raises StorageError, with the data untouched, if what is there must not be started.
    """
    _check_restored(storage)
    for leftover in (storage.pgdata_new, storage.pgdata_replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    created = not _holds_something(storage.pgdata)
    if created:
        create(storage, users, resources, lock_descriptor)
    else:
        check(storage, users.database)
        write_configuration(storage.pgdata, storage, users, resources)
    return created


def create(
    storage: Storage, users: SystemUsers, resources: ResourceLimits, lock_descriptor: int
) -> None:
    """Initialise a cluster beside its place, then rename it there."""
    disk_space.check_to_create(storage)
    try:
        initialise(storage.pgdata_new, storage, users, resources, lock_descriptor)
    except (ApplianceError, OSError) as error:
        shutil.rmtree(storage.pgdata_new, ignore_errors=True)
        raise StorageError(
            f"The database could not be made in {storage.root}: {error}",
            "Nothing was kept of it; look at the disk and its permissions.",
        ) from error
    if storage.pgdata.exists():
        storage.pgdata.rmdir()
    rename_durably(storage.pgdata_new, storage.pgdata)


def initialise(
    fresh: Path,
    storage: Storage,
    users: SystemUsers,
    resources: ResourceLimits,
    lock_descriptor: int | None,
    *options: str,
) -> None:
    """Make an empty cluster in a folder that is not there yet; `options` are more for initdb.

    initdb and its children inherit the lock: if we are killed, they still keep others out.
    Byte order collation: no upgrade of the C library can ever invalidate an index.
    """
    user = users.database
    fresh.mkdir(mode=0o700)
    _give_to(fresh, user)
    fixed = (
        f"--username={config.SUPERUSER} --auth=peer --data-checksums --encoding=UTF8 "
        "--locale=C.UTF-8 --lc-collate=C --no-instructions --set=dynamic_shared_memory_type=mmap"
    )
    initdb = binaries.program("initdb")
    run(
        [initdb, f"--pgdata={fresh}", *fixed.split(), *options],
        prepare=lambda: drop_privileges(user, fresh, initdb),
        inherit=() if lock_descriptor is None else (lock_descriptor,),
    )
    write_configuration(fresh, storage, users, resources)


def check(storage: Storage, user: SystemUser) -> None:
    """Refuse a cluster that must not be started, in words; nothing is changed."""
    _check_version(storage.pgdata)
    _check_owner(storage.pgdata, user)
    _check_control(storage.pgdata)
    disk_space.check_to_start(storage)


def remove_stale_files(storage: Storage) -> None:
    """Remove what a dead Postgres left: its pid file and its socket.

    The process numbers in them mean nothing: another container has other numbers, and here the
    number may be alive again. Holding the lock proves that no process of that Postgres lives.
    """
    stale = [storage.pgdata / "postmaster.pid", storage.socket]
    for path in (*stale, storage.socket.with_name(f"{storage.socket.name}.lock")):
        path.unlink(missing_ok=True)


def write_configuration(
    pgdata: Path, storage: Storage, users: SystemUsers, resources: ResourceLimits
) -> None:
    """Write the configuration files where they differ from what this container wants."""
    wanted = {
        "postgresql.conf": config.postgresql_conf(resources, storage.run),
        "pg_hba.conf": config.HBA,
        "pg_ident.conf": config.ident_conf(users.database.name, users.api.name),
    }
    for name, content in wanted.items():
        path = pgdata / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            write_atomically(path, content, mode=0o600)


def _check_restored(storage: Storage) -> None:
    if storage.restoring.exists():
        raise StorageError(
            f"A restore into {storage.root} was broken off, so there is no whole cluster.",
            "Run /hooks/post-restore again.",
        )
    copy_detection.check_no_copy(storage)


def _holds_something(pgdata: Path) -> bool:
    try:
        return any(pgdata.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(
            f"{pgdata} cannot be read: {error.strerror}.", "Give this user access to it."
        ) from error


def _check_version(pgdata: Path) -> None:
    try:
        version = (pgdata / "PG_VERSION").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{pgdata} is not empty, but it is no Postgres cluster: PG_VERSION cannot be read.",
            "Restore it from a backup, or move what is there out of the way.",
        ) from error
    if version != str(binaries.MAJOR_VERSION):
        raise StorageError(
            f"The cluster in {pgdata} was made by Postgres {version}; this is Postgres "
            f"{binaries.MAJOR_VERSION}. It was left as it is.",
            f"Dump it with Postgres {version} and load the dump here.",
        )


def _check_owner(pgdata: Path, user: SystemUser) -> None:
    status = pgdata.stat()
    if status.st_uid != user.uid:
        raise StorageError(
            f"{pgdata} belongs to user {status.st_uid}, but Postgres runs as {user.name} "
            f"({user.uid}).",
            f"If the data is yours: chown -R {user.uid}:{user.gid} {shlex.quote(str(pgdata))}",
        )
    mode = status.st_mode & 0o777
    if mode not in ALLOWED_MODES:
        raise StorageError(
            f"{pgdata} has the permissions {mode:04o}; Postgres takes 0700 or 0750 only.",
            f"chmod 0700 {pgdata}",
        )


def _check_control(pgdata: Path) -> None:
    result = run(
        [binaries.program("pg_controldata"), pgdata],
        environment={"LC_ALL": "C"},
        check=False,
    )
    said = (result.stderr + result.stdout).strip()
    if result.returncode != 0 or _CONTROL_WARNING in said:
        raise StorageError(
            f"{pgdata}/global/pg_control is damaged ({said.splitlines()[0]}). "
            "The cluster was not started and was left as it is.",
            "Restore from a backup.",
        )


def _give_to(path: Path, user: SystemUser) -> None:
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
