"""Units of work that remember how often they were run, and what the database says of them."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from appliance.database.connect import Connection
from appliance.database.units_of_work import Database
from tests.harness import processes
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until


class AddThing:
    """Adds a row that may be there once only, and returns the number of this run."""

    def __init__(self, name: str = "thing") -> None:
        self.name = name
        self.runs = 0
        self.backends: list[int] = []

    def __call__(self, connection: Connection) -> int:
        self.runs += 1
        self.backends.append(connection.info.backend_pid)
        connection.execute("INSERT INTO things VALUES (%s)", (self.name,))
        return self.runs

    def freeze(self, connection: Connection) -> None:
        """Stop the server process of a connection."""
        self.backends.append(connection.info.backend_pid)
        self.freeze_backend()

    def freeze_backend(self) -> None:
        """Stop the server process that works for the latest run."""
        os.kill(self.backends[-1], signal.SIGSTOP)
        wait_until(self._frozen, "the backend is stopped")

    def thaw_backend(self) -> None:
        """Let it go on."""
        if not self.backends:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.backends[-1], signal.SIGCONT)

    def _frozen(self) -> bool:
        backend = processes.read(self.backends[-1])
        return backend is not None and backend.state == "T"


class Background:
    """A write in a thread of its own; `result` waits for it and raises what it raised."""

    def __init__(self, database: Database, unit: Callable[[Connection], Any]) -> None:
        self._outcome: list[Any] = []
        self._error: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(database, unit), daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(60)
        assert not self.running, "the write never ended"
        if self._error:
            raise self._error[0]
        return self._outcome[0]

    def _run(self, database: Database, unit: Callable[[Connection], Any]) -> None:
        try:
            self._outcome.append(database.write(unit))
        except BaseException as error:
            self._error.append(error)


def things(server: PostgresProgram) -> list[str]:
    """What is there, for everybody to see."""
    with server.connect("appliance") as connection:
        return [row[0] for row in connection.execute("SELECT name FROM things ORDER BY name")]


def backends(server: PostgresProgram, state: str) -> list[int]:
    """The API's server processes in a state of pg_stat_activity."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'unit' AND state = %s"
    with server.connect("postgres") as connection:
        return [row[0] for row in connection.execute(query, (state,))]


def counter(database: Database, number: int) -> int:
    query = "SELECT value FROM counters WHERE id = %s"
    rows = database.read(lambda connection: connection.execute(query, (number,)).fetchall())
    return int(rows[0][0])
