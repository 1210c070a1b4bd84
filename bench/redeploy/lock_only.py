"""A container as images with a database make it today: the lock, and nothing else of ours.

`python -m bench.redeploy.lock_only STORAGE` waits for the lock and becomes Postgres. Beside it
runs plain gunicorn with the bare app, whose requests fail while the database is away.
"""

import signal
import sys
from pathlib import Path

from appliance.postgres import binaries, cluster
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.process import exec_program, keep_open
from bench.gunicorn import Gunicorn
from bench.processes import POLL_S, Process, free_port, kill, start, stop


class LockOnly:
    """Postgres behind the lock, and gunicorn."""

    def __init__(self, folder: Path, storage: Storage, statements: Path) -> None:
        self.folder, self.storage, self.port = folder, storage, free_port()
        own = folder / f"lock-only-{self.port}"
        own.mkdir()
        own.chmod(0o755)
        environment = {"BARE_STATEMENTS": str(statements)}
        self._gunicorn = Gunicorn(
            own, storage, self.port, "bench.bare_app:application", environment
        )
        self._log = own / "postgres.log"
        self._postgres: Process | None = None

    def start(self) -> None:
        """Start both; it does not serve yet."""
        command = [sys.executable, "-m", "bench.redeploy.lock_only", str(self.storage.root)]
        self._postgres = start(command, self._log, {}, system_users.detect().database)
        self._gunicorn.start()

    def wait_until_up(self, every_s: float = POLL_S) -> None:
        """Wait for its first 200 on /up."""
        self._gunicorn.wait_until_up(every_s)

    def stop(self) -> None:
        """End it cleanly."""
        self._gunicorn.stop()
        if self._postgres is not None:
            stop(self._postgres, signal.SIGINT)

    def kill(self) -> None:
        """End it with SIGKILL."""
        kill(*(one for one in (self._postgres, self._gunicorn.process) if one is not None))


def main() -> None:
    """Wait for the lock, then become Postgres."""
    storage, user = Storage(Path(sys.argv[1])), system_users.detect().database
    descriptor = lock.open_lock(storage, user.uid, user.gid)
    lock.wait_for_lock(descriptor)
    cluster.remove_stale_files(storage)
    keep_open(descriptor)
    exec_program(binaries.program("postgres"), ["-D", str(storage.pgdata)])


if __name__ == "__main__":
    main()
