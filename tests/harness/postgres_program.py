"""The `postgres` program alone, without a supervisor: it waits in the lock, then is Postgres."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg

from appliance.apps.books.books import BOOKS
from appliance.database import roles
from appliance.database.connect import Connection, connect
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.storage import instances
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.harness import processes
from tests.harness.fast import skip_if_fast
from tests.harness.freezing import kill_tree
from tests.harness.waiting import wait_until

COMMAND = (sys.executable, "-P", "-m", "appliance.supervision.entry_points", "postgres")


class PostgresProgram:
    """What supervisord runs as `postgres`. Everything it prints is kept in `lines`.

    Each start is a container of its own, alive until the next one or the end of everything.
    """

    command: tuple[str, ...] = COMMAND

    def __init__(self, root: Path, **variables: str) -> None:
        self.storage = Storage(root)
        self.variables = variables
        self.lines: list[str] = []
        self.instance = ""
        self._alive: int | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process: first Python, then the postmaster."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.lines)

    @property
    def environment(self) -> dict[str, str]:
        """This process' environment, where it runs, and what the test wants."""
        where = {"STORAGE_DIR": str(self.storage.root), "APPLIANCE_INSTANCE": self.instance}
        return {**os.environ, **where, **self.variables}

    def start(self) -> "PostgresProgram":
        """Make the storage's folders, start the program and return at once."""
        skip_if_fast()
        self.storage.prepare(system_users.detect())
        self._register()
        self._process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._collect, args=(self._process,), daemon=True).start()
        return self

    def wait_until_serving(self) -> "PostgresProgram":
        """Wait until this very process is the postmaster and takes connections."""
        wait_until(self.serves, f"Postgres serves\n{self.log}")
        return self

    def serves(self) -> bool:
        """Whether this very process is the postmaster and takes connections."""
        code = self._process.poll() if self._process else 0
        assert code is None, f"it ended with {code}:\n{self.log}"
        if not processes.is_postmaster(processes.read(self.pid), self.storage.pgdata):
            return False
        try:
            connect(self.storage, config.SUPERUSER, database="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def migrate(self) -> "PostgresProgram":
        """Make the roles, the database and the schema, as the agent does."""
        with connect(self.storage, config.SUPERUSER, database="postgres") as superuser:
            roles.ensure(superuser)
        with self.connect(config.OWNER_ROLE) as owner:
            runner.migrate(
                owner, load_tracks(BOOKS.tracks(), None), timeout_s=30, report=self.lines.append
            )
        return self

    def connect(self, role: str = config.SUPERUSER, **options: Any) -> Connection:
        """A direct connection in autocommit mode."""
        return connect(self.storage, role, **options)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the end; returns the exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout_s)

    def kill_everything(self) -> None:
        """SIGKILL the process and every Postgres process it started."""
        if self._process is None:
            return
        # Taken first: another thread may start the next one as soon as this one is dead.
        alive, self._alive = self._alive, None
        kill_tree(self.pid)
        self._process.wait(10)
        if alive is not None:
            os.close(alive)

    def _register(self) -> None:
        if self._alive is not None:
            os.close(self._alive)
        self.instance = secrets.token_hex(6)
        user = system_users.detect().database
        self._alive = instances.register(self.storage, self.instance, user)

    def _collect(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))
