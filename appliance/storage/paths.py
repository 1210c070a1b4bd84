"""Every path under the storage, and what must be true of it before anything runs.

Containers of other builds use the same volume, so these names stay. They are written here and
nowhere else; what lies in the folder of one container is in storage/instances.py.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import StorageError
from appliance.system.limits import DiskSpace, disk_space
from appliance.system.system_users import SystemUser, SystemUsers

DEFAULT_ROOT = Path("/storage")

# sockaddr_un.sun_path holds 108 bytes with the final zero (unix(7)).
SOCKET_PATH_LIMIT = 107


@dataclass(frozen=True)
class Storage:
    """The folder that holds all data. Nobody else joins paths below it."""

    root: Path

    @property
    def pgdata(self) -> Path:
        """The cluster."""
        return self.root / "pgdata"

    @property
    def pgdata_new(self) -> Path:
        """A cluster in the making, renamed to `pgdata` when it is whole."""
        return self.root / "pgdata.new"

    @property
    def run(self) -> Path:
        """Sockets, the lock and the note of who holds it."""
        return self.root / "run"

    @property
    def lock(self) -> Path:
        """The ownership lock. Never deleted, renamed or replaced."""
        return self.run / "owner.lock"

    @property
    def owner(self) -> Path:
        """Who took the lock last; a note for people, never the truth."""
        return self.run / "owner.json"

    @property
    def successor(self) -> Path:
        """Who the owner is handing the database to, while it does; others yield to it."""
        return self.run / "heir.json"

    @property
    def instances(self) -> Path:
        """A folder for each container that runs on this storage."""
        return self.run / "instances"

    @property
    def socket(self) -> Path:
        """Postgres' socket."""
        return self.run / ".s.PGSQL.5432"

    @property
    def pgdata_replaced(self) -> Path:
        """The cluster that a restore has replaced, until it is removed: a name of ours only."""
        return self.root / "pgdata.replaced"

    @property
    def backups(self) -> Path:
        """Where backups are kept, unless BACKUP_DIR says otherwise."""
        return self.root / "backups"

    @property
    def hook_backup(self) -> Path:
        """What the pre-backup hook made for the platform to copy; its name comes before others."""
        return self.backups / ".hook"

    @property
    def hook_window(self) -> Path:
        """There from the success of a pre-backup hook until the platform has made its copy.

        A copy of the storage comes to it after the cluster, and to `hook_backup` before it.
        """
        return self.run / "hook-window.json"

    @property
    def generation_first(self) -> Path:
        """A mark that changes while the database runs; a copy comes to it before all else of ours.

        See `hook_window`.
        """
        return self.backups / ".generation"

    @property
    def generation_last(self) -> Path:
        """The same mark; a copy comes to it after the cluster."""
        return self.run / "generation.json"

    @property
    def restoring(self) -> Path:
        """There while a restore is under way, or was broken off: the cluster is no good then."""
        return self.run / "restoring.json"

    @property
    def backup_lock(self) -> Path:
        """Locked while a backup is made, verified or restored: one at a time."""
        return self.run / "backup.lock"

    @property
    def backup_work(self) -> Path:
        """What holds that lock, for people."""
        return self.run / "backup-work.json"

    @property
    def hook_lock(self) -> Path:
        """Locked while a pre-backup hook runs."""
        return self.run / "hook.lock"

    @property
    def hook_failure(self) -> Path:
        """There if a pre-backup hook failed in a container that did not own the database."""
        return self.run / "hook-failure.json"

    @property
    def backup_schedule(self) -> Path:
        """When the next scheduled backup and the next drill are due."""
        return self.run / "backup-schedule.json"

    @property
    def schedule_lock(self) -> Path:
        """Locked while what is due is done: by one container."""
        return self.run / "backup-schedule.lock"

    @property
    def backup_status(self) -> Path:
        """The last backup and the last one that was verified, for everyone to read."""
        return self.run / "backup-notes.json"

    @property
    def job_results(self) -> Path:
        """What came of work that an API client does not wait for: a file for each."""
        return self.run / "backup-endings"

    @property
    def backup_audit(self) -> Path:
        """Who did what with backups: one JSON document a line, only ever added to."""
        return self.run / "backup-audit.jsonl"

    @property
    def secrets(self) -> Path:
        """Generated secrets; closed to everyone else."""
        return self.root / "secrets"

    def free_bytes(self) -> int:
        """Bytes that an unprivileged user may still write here."""
        return self.disk_space().free_bytes

    def disk_space(self) -> DiskSpace:
        """The file system that it lies on; raises OSError if there is no storage."""
        return disk_space(self.root)

    def prepare(self, users: SystemUsers) -> None:
        """Make the folders with their owners and modes. What is there already keeps its content."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._folder(self.run, 0o755, users.database)
            self._folder(self.instances, 0o755, users.database)
            self._folder(self.backups, 0o750, users.database)
            self._folder(self.secrets, 0o700, None)
        except OSError as error:
            raise StorageError(
                f"{self.root} cannot be used as storage: {error.strerror} ({error.filename}).",
                "Give this user write access to it, or choose another folder with STORAGE_DIR.",
            ) from error
        self._check_socket_path()

    def _folder(self, path: Path, mode: int, owner: SystemUser | None) -> None:
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        if owner is not None and os.geteuid() == 0:
            os.chown(path, owner.uid, owner.gid)

    def _check_socket_path(self) -> None:
        length = len(os.fsencode(self.socket))
        if length > SOCKET_PATH_LIMIT:
            raise StorageError(
                f"The path {self.socket} has {length} bytes; a socket's may have "
                f"{SOCKET_PATH_LIMIT} at most.",
                "Choose a shorter STORAGE_DIR.",
            )
