"""A unit inside a unit would wait for itself: it is refused, and nothing is left of either."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.database.connect import Connection
from appliance.database.units_of_work import Database
from tests.database.conftest import Open
from tests.database.units import AddThing, Background, backends, things
from tests.harness.postgres_program import PostgresProgram

Inner = Callable[[Database, AddThing], Any]
INNER: tuple[Inner, ...] = (
    lambda database, unit: database.write(unit),
    lambda database, unit: database.read(unit),
    lambda database, unit: database.probe(unit, 1.0),
)


@pytest.mark.parametrize("inner", INNER, ids=["write", "read", "probe"])
def test_a_unit_that_starts_another_fails_and_leaves_nothing(
    server: PostgresProgram, open_database: Open, inner: Inner
) -> None:
    database, never = open_database(server.storage.run, connections=1), AddThing("inner")

    def nested(connection: Connection) -> None:
        AddThing("outer")(connection)
        inner(database, never)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="must not start another one"):
            database.write(nested)
    assert (never.runs, things(server)) == (0, [])
    assert backends(server, "idle in transaction") == []
    assert database.write(AddThing()) == 1
    assert Background(database, AddThing("of another thread")).result() == 1


def test_a_unit_that_lives_with_the_refusal_is_applied(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)

    def careful(connection: Connection) -> None:
        AddThing("outer")(connection)
        with pytest.raises(RuntimeError):
            database.write(AddThing("inner"))

    database.write(careful)
    assert things(server) == ["outer"]


def test_after_a_unit_that_failed_the_thread_may_start_the_next(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run, connections=1)

    def broken(_: Connection) -> None:
        raise KeyError("mine")

    for _ in range(3):
        with pytest.raises(KeyError):
            database.write(broken)
    assert database.write(AddThing()) == 1
