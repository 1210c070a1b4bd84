"""What a unit of work may do: fail, collide with others, run in threads and after a fork."""

import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from appliance.database.connect import Connection
from tests.database.conftest import Open, connect_as_api
from tests.database.units import AddThing, Background, backends, counter, things
from tests.harness.postgres_program import PostgresProgram

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
    assert len(runs) >= 3, "one of them was undone"
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
