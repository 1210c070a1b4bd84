"""A temporary Postgres: on a new cluster, or on ours while nobody runs it.

It listens on a socket in a new closed folder only, so nobody mistakes it for the live one.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from appliance import settings
from appliance.backups.backup_errors import BackupError
from appliance.backups.server import databases
from appliance.postgres import binaries
from appliance.system.process import RunningProcess, run
from appliance.system.system_users import SystemUser, drop_privileges

# What is not finished is thrown away, so nothing needs to survive a crash before `sync`.
LOADING_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}

_LOOK_EVERY_S = 0.02


@contextmanager
def run_postgres(
    pgdata: Path, options: dict[str, str], user: SystemUser, lock_descriptor: int | None = None
) -> Iterator[Path]:
    """Run Postgres as `user` while the block lasts; yields the folder of its socket.

    It is stopped cleanly at the end; after an error it is killed. With `lock_descriptor` its
    processes hold that lock too. Recovery after a crash may take its time.
    """
    settings.set_variable("LD_LIBRARY_PATH", str(binaries.libraries()))
    folder = _closed_folder(user)
    private = {"listen_addresses": "", "unix_socket_directories": str(folder), **options}
    words = [word for name, value in private.items() for word in ("-c", f"{name}={value}")]
    inherit = [] if lock_descriptor is None else [lock_descriptor]
    try:
        # A pid file in a copy tells of processes on another machine.
        (pgdata / "postmaster.pid").unlink(missing_ok=True)
        program = binaries.program("postgres")
        command: list[str | Path] = [program, "-D", pgdata, *words]
        with RunningProcess(
            command, inherit=inherit, prepare=lambda: drop_privileges(user, pgdata, program)
        ) as postgres:
            _await(postgres, folder)
            yield folder
            postgres.signal(signal.SIGINT)
            postgres.finish()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sync(pgdata: Path, user: SystemUser) -> None:
    """Wait until every file of a cluster that was loaded without fsync is on the disk."""
    initdb = binaries.program("initdb")
    run(
        [initdb, "--sync-only", f"--pgdata={pgdata}"],
        prepare=lambda: drop_privileges(user, pgdata, initdb),
    )


def _closed_folder(user: SystemUser) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="appliance-"))
    if os.geteuid() == 0:
        os.chown(folder, user.uid, user.gid)
    return folder


def _await(postgres: RunningProcess, folder: Path) -> None:
    while True:
        try:
            databases.connect_to(folder, databases.MAINTENANCE).close()
        except psycopg.OperationalError as error:
            if postgres.ended_within(_LOOK_EVERY_S):
                raise BackupError(
                    f"Postgres cannot run on the cluster: {postgres.said() or error}",
                    "See what it says, and use another backup if the cluster is damaged.",
                ) from error
            time.sleep(_LOOK_EVERY_S)
        else:
            return
