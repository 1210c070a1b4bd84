"""What a unit of work may do: fail, collide with others, run in threads and after a fork."""

import os
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import errors

from appliance.postgres.connect import Connection
from appliance.postgres.transact import Database
from tests.harness.postgres_program import PostgresProgram
from tests.transact.conftest import Open, connect_as_api
from tests.transact.units import AddThing, Background, backends, things

INCREMENT = "UPDATE counters SET value = value + 1 WHERE id = %s"


def test_a_serialization_failure_is_run_again(server: PostgresProgram, open_database: Open) -> None:
    runs: list[int] = []

    def increment(connection: Connection) -> None:
        connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        value = connection.execute("SELECT value FROM counters WHERE id = 1").fetchone()
        runs.append(value[0] if value else -1)
        if len(runs) == 1:
            with connect_as_api(server.storage.run) as other:
                other.execute(INCREMENT, (1,))
        connection.execute("UPDATE counters SET value = %s WHERE id = 1", (runs[-1] + 1,))

    database = open_database(server.storage.run)
    database.write(increment)
    assert runs == [0, 1]
    assert counter(database, 1) == 2


def test_of_two_units_in_a_deadlock_both_are_applied(
    server: PostgresProgram, open_database: Open
) -> None:
    meeting = threading.Barrier(2)
    runs: list[int] = []

    def both(first: int, second: int) -> Callable[[Connection], None]:
        def unit(connection: Connection) -> None:
            runs.append(first)
            connection.execute(INCREMENT, (first,))
            if len(runs) <= 2:
                meeting.wait(30)
            connection.execute(INCREMENT, (second,))

        return unit

    database = open_database(server.storage.run)
    writes = [Background(database, both(1, 2)), Background(database, both(2, 1))]
    for write in writes:
        write.result()
    assert len(runs) == 3
    assert [counter(database, 1), counter(database, 2)] == [2, 2]


def broken_python(connection: Connection) -> None:
    AddThing()(connection)
    raise KeyError("mine")


def broken_statement(connection: Connection) -> None:
    AddThing()(connection)
    connection.execute("SELECT 1/0")


def broken_at_commit(connection: Connection) -> None:
    AddThing()(connection)
    AddThing()(connection)


def broken_and_swallowed(connection: Connection) -> None:
    AddThing()(connection)
    try:
        connection.execute("SELECT 1/0")
    except psycopg.Error:
        return


@pytest.mark.parametrize(
    ("unit", "error"),
    [
        (broken_python, KeyError),
        (broken_statement, errors.DivisionByZero),
        (broken_at_commit, errors.UniqueViolation),
        (broken_and_swallowed, errors.InFailedSqlTransaction),
    ],
)
def test_another_error_comes_out_and_leaves_neither_rows_nor_an_open_transaction(
    server: PostgresProgram,
    open_database: Open,
    unit: Callable[[Connection], None],
    error: type[Exception],
) -> None:
    database = open_database(server.storage.run)
    with pytest.raises(error):
        database.write(unit)
    assert things(server) == []
    assert backends(server, "idle in transaction") == []
    assert backends(server, "idle in transaction (aborted)") == []
    assert len(backends(server, "idle")) == 1, "the connection is kept"
    assert database.write(AddThing()) == 1


def test_a_read_cannot_write(server: PostgresProgram, open_database: Open) -> None:
    with pytest.raises(errors.ReadOnlySqlTransaction):
        open_database(server.storage.run).read(AddThing())


def test_a_forked_process_does_not_speak_on_its_parents_connection(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    before = database.read(backend)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(database.read(backend)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        in_child = int(answer.read())
    os.waitpid(child, 0)
    assert in_child != before
    assert database.read(backend) == before, "the parent's connection is whole"


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads interrupt each other at every step."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("eager_switching")
def test_many_threads_share_it_and_every_write_counts_once(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)

    def write_many(_: Connection) -> None:
        for _number in range(40):
            database.write(lambda connection: connection.execute(INCREMENT, (1,)) and None)

    writers = [Background(database, write_many) for _ in range(8)]
    for writer in writers:
        writer.result()
    assert counter(database, 1) == 320


def backend(connection: Connection) -> int:
    return connection.info.backend_pid


def counter(database: Database, number: int) -> int:
    query = "SELECT value FROM counters WHERE id = %s"
    rows = database.read(lambda connection: connection.execute(query, (number,)).fetchall())
    return int(rows[0][0])
