"""The floor: Postgres alone, stopped and started again on the same cluster."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from appliance.database.connect import connect
from appliance.postgres import binaries, config
from appliance.storage.paths import Storage
from appliance.system import system_users
from bench.postmaster import wait_until_ready
from bench.processes import Process, kill, start, stop

_LOOK_EVERY_S = 0.001


class BareCluster:
    """The postmaster, with the configuration that the appliance wrote."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.storage, self._log = storage, folder / "bare-postgres.log"
        self._process: Process | None = None

    def start(self) -> None:
        """Start it; returns when a query was answered."""
        command: list[str | Path] = [binaries.program("postgres"), "-D", str(self.storage.pgdata)]
        self._process = start(command, self._log, {}, system_users.detect().database)
        wait_until_ready(self.storage, self._process, self._log, _LOOK_EVERY_S)
        with connect(self.storage, config.SUPERUSER, database="postgres") as connection:
            connection.execute("SELECT 1")

    def stop(self) -> None:
        """The fast shutdown."""
        if self._process is not None:
            stop(self._process, signal.SIGINT)

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
