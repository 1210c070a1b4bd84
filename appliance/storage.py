"""Every path under the storage, and what must be true of it before anything runs."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import StorageError
from appliance.identities import Identities, Identity

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
    def heir(self) -> Path:
        """Who the owner is handing the database to, while it does; others give way to it."""
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
    def backups(self) -> Path:
        """Where the backup hooks write."""
        return self.root / "backups"

    @property
    def secrets(self) -> Path:
        """Generated secrets; closed to everyone else."""
        return self.root / "secrets"

    def free_bytes(self) -> int:
        """Bytes that an unprivileged user may still write here."""
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def total_bytes(self) -> int:
        """Size of the file system."""
        return shutil.disk_usage(self.root).total

    def prepare(self, identities: Identities) -> None:
        """Make the folders with their owners and modes. What is there already keeps its content."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._folder(self.run, 0o755, identities.database)
            self._folder(self.instances, 0o755, identities.database)
            self._folder(self.backups, 0o750, identities.database)
            self._folder(self.secrets, 0o700, None)
        except OSError as error:
            raise StorageError(
                f"{self.root} cannot be used as storage: {error.strerror} ({error.filename}).",
                "Give this user write access to it, or choose another folder with STORAGE_DIR.",
            ) from error
        self._check_socket_path()

    def _folder(self, path: Path, mode: int, owner: Identity | None) -> None:
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


def mebibytes(size_bytes: int) -> str:
    """A size for people, in MiB.

    >>> mebibytes(5 * 1024 * 1024)
    '5 MiB'
    """
    return f"{size_bytes // (1024 * 1024)} MiB"
