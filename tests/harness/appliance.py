"""A real appliance as a process of this machine: `appliance up` with a storage and a port.

Two of them on one storage behave like two containers on one volume.
"""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psycopg
import requests

from appliance.database.connect import connect
from appliance.postgres import config
from appliance.settings import variables
from appliance.storage.paths import Storage
from appliance.web import api_keys
from tests.harness import command, locks, processes, shared_memory, speed
from tests.harness.command import COMMAND
from tests.harness.fast import skip_if_fast
from tests.harness.freezing import kill_tree
from tests.harness.processes import Process
from tests.harness.waiting import wait_until

COMMAND_LIMIT_S = 60.0

# What supervisord starts, before the program's name.
_PROGRAM = "appliance.supervision.entry_points "

_OURS = {*variables(), *(f"{name}_FILE" for name in variables())}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def two_free_ports() -> int:
    """A port that nobody listens on, nor on the next one.

    The kernel gives neither to clients (ip_local_port_range), so both stay free.
    """
    while True:
        port = 20_000 + secrets.randbelow(6_000) * 2
        with socket.socket() as probe, socket.socket() as following, suppress(OSError):
            probe.bind(("", port))
            following.bind(("", port + 1))
            return port


class Appliance:
    """One running `appliance up`. Everything it prints is kept in `lines`."""

    command: tuple[str | Path, ...] = (COMMAND,)

    def __init__(self, storage: Path, **variables: str) -> None:
        self.storage = Storage(storage)
        self.use_port(free_port())
        self.variables = variables
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._key: str | None = None

    def use_port(self, port: int) -> None:
        """Serve on this one, from the next start on."""
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """This process' environment without our settings, then what the test wants."""
        inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
        where = {"PORT": str(self.port), "STORAGE_DIR": str(self.storage.root)}
        return {**inherited, **where, **self.variables}

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The supervisor's process."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def log(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.lines)

    def start(self, mode: str = "up") -> "Appliance":
        """Start it, or another run mode, and return at once."""
        skip_if_fast()
        self._process = subprocess.Popen(
            [*self.command, mode],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._collect, args=(self._process,), daemon=True).start()
        return self

    def wait_until_up(self, timeout_s: float = 60.0) -> "Appliance":
        """Wait for 200 on /up; fails at once, with the log, if the process ends instead."""

        def up() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.log}"
            return self.status("/up") == 200

        try:
            wait_until(up, "200 on /up", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from error
        return self

    def status(self, path: str, timeout_s: float = 10.0) -> int:
        """The status of a GET, 0 if there is no answer."""
        # Not with `requests`: it is asked again and again, and that takes ten times as long.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def stop(self, timeout_s: float = 15.0) -> int:
        """SIGTERM, then wait for the end; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for it to end by itself; returns the exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running after {timeout_s} s:\n{self.log}") from error

    def kill_everything(self) -> None:
        """SIGKILL the supervisor and all below it, as `docker rm -f` does."""
        if self._process is None:
            return
        doomed = kill_tree(self._process.pid)
        self._process.wait(10)
        for pid in doomed:
            wait_until(partial(processes.ended, pid), f"end of {pid}")

    def programs(self) -> dict[str, Process]:
        """The supervised programs by name, as they are now."""
        found = {}
        for process in processes.descendants(self.process.pid):
            if process.parent == self.process.pid and process.state != "Z":
                name = process.command.rpartition(_PROGRAM)[2].partition(" ")[0]
                found["postgres" if "/postgres -D" in process.command else name] = process
        return found

    def postmaster(self) -> Process | None:
        """This appliance's own postmaster, None while it is a standby."""
        program = self.programs().get("postgres")
        return program if program and "/postgres -D" in program.command else None

    def connect(self, role: str = "appliance", database: str = "appliance") -> Any:
        """A direct connection to the storage's database."""
        return psycopg.connect(
            host=str(self.storage.run), user=role, dbname=database, autocommit=True
        )

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run an `appliance` command with this appliance's environment."""
        result = command.run(list(arguments), self.environment, COMMAND_LIMIT_S * speed.scale())
        assert result.returncode == 0 or not check, f"{arguments}: {result.stderr}"
        return result

    def key(self) -> str:
        """An API key, made once, as the command does it but without a process of its own."""
        if self._key is None:
            with connect(self.storage, config.OWNER_ROLE) as owner:
                self._key = api_keys.create(owner, f"tests-{self.port}")
        return self._key

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """An authenticated request."""
        headers = {"Authorization": f"Bearer {self.key()}", **arguments.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **arguments)

    def _collect(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))


def waiting(standby: Appliance) -> Process | None:
    """The process that waits in the lock and will be Postgres, None if there is none."""
    program = standby.programs().get("postgres")
    return program if program and locks.waits(program.pid) else None


class Killable(Protocol):
    """Something that works on a storage and can be killed with all that it started."""

    storage: Storage

    def kill_everything(self) -> None: ...


K = TypeVar("K", bound=Killable)


@contextmanager
def ending(one: K) -> Iterator[K]:
    """See to it that this is ended, whatever happens."""
    try:
        yield one
    finally:
        kill_all([one])


def kill_all(running: Sequence[Killable]) -> None:
    """End everything that a test left running."""
    for one in running:
        one.kill_everything()
    # Backends that outlived a killed postmaster are nobody's children any more.
    for pgdata in {one.storage.pgdata for one in running}:
        for process in processes.postgres_processes(pgdata):
            processes.kill(process.pid)
        shared_memory.remove_left(pgdata)
