"""The floor: Postgres alone, stopped and started again on the same cluster."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from appliance import identities
from appliance.postgres import binaries, config
from appliance.postgres.connect import connect
from appliance.storage import Storage
from bench.processes import Process, kill, start, wait_until

_LOOK_EVERY_S = 0.001


class BareCluster:
    """The postmaster, with the configuration that the appliance wrote."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.storage, self._log = storage, folder / "bare-postgres.log"
        self._process: Process | None = None

    def start(self) -> None:
        """Start it; returns when a query was answered."""
        command = [binaries.program("postgres"), "-D", str(self.storage.pgdata)]
        self._process = start(command, self._log, {}, identities.detect().database)
        wait_until(self._answer, self._process, self._log, _LOOK_EVERY_S)

    def stop(self) -> None:
        """The fast shutdown."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def restart(self) -> float:
        """Stop it cleanly and start it; milliseconds from the signal to an answer."""
        return self._measure(self.stop)

    def crash(self) -> float:
        """Kill all of it and start it; milliseconds from the kill to an answer."""
        return self._measure(self._kill)

    def _measure(self, end: Callable[[], None]) -> float:
        began = time.monotonic()
        end()
        self.start()
        return round((time.monotonic() - began) * 1000, 1)

    def _kill(self) -> None:
        assert self._process is not None
        kill(self._process)

    def _answer(self) -> bool | None:
        # A connection that is refused costs the server a process: asked too early and too often,
        # it would be slower than it can be.
        if not self._is_ready():
            return None
        try:
            with connect(self.storage, config.SUPERUSER, database="postgres") as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return None
        return True

    def _is_ready(self) -> bool:
        assert self._process is not None
        try:
            lines = (self.storage.pgdata / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        # The file of one that was killed says the same, with another number.
        return lines[0] == str(self._process.pid) and "ready" in "".join(lines[7:])
