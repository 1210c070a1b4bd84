"""The server ends a connection that nobody uses; the next unit must not suffer for it."""

import os
import signal
from collections.abc import Callable

import pytest

from appliance.database.connect import Connection
from tests.database.conftest import Open, with_schema
from tests.database.units import AddThing, things
from tests.harness import processes
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

End = Callable[[PostgresProgram, int], None]


def crash_of_another(server: PostgresProgram, _: int) -> None:
    """The others are told with a warning, which waits unread in their sockets."""
    with server.connect("postgres") as other:
        os.kill(other.info.backend_pid, signal.SIGKILL)


def killed_itself(_: PostgresProgram, idle: int) -> None:
    os.kill(idle, signal.SIGKILL)


def terminated(_: PostgresProgram, idle: int) -> None:
    os.kill(idle, signal.SIGTERM)


@pytest.mark.parametrize("end", [crash_of_another, killed_itself, terminated])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_the_next_unit_runs_on_a_new_connection(
    make_program: Callable[..., PostgresProgram], open_database: Open, end: End, kind: str
) -> None:
    server = with_schema(make_program().start().wait_until_serving().migrate())
    database, add = open_database(server.storage.run), AddThing()
    idle = database.read(backend)
    end(server, idle)
    wait_until(lambda: not processes.alive(idle), "the connection's end")
    if kind == "read":
        assert database.read(backend) != idle
    else:
        assert database.write(add) >= 1
        assert things(server) == ["thing"]


def backend(connection: Connection) -> int:
    return connection.info.backend_pid
