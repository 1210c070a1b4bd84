"""One Postgres for most of these tests; those that kill it make their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.database.connect import Connection
from appliance.database.units_of_work import Database
from tests.database.proxy import CommitProxy
from tests.harness.appliance import ending
from tests.harness.postgres_program import PostgresProgram
from tests.harness.prepared import prepared_storage

SCHEMA = """
    CREATE TABLE IF NOT EXISTS things (name text, CONSTRAINT once UNIQUE (name)
        DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE IF NOT EXISTS counters (id integer PRIMARY KEY, value integer NOT NULL);
    GRANT ALL ON things, counters TO app;
    TRUNCATE things, counters;
    INSERT INTO counters VALUES (1, 0), (2, 0);
"""
SOCKET = ".s.PGSQL.5432"
Open = Callable[..., Database]
Connect = Callable[[Path], Connection]


def connect_as_api(folder: Path) -> Connection:
    return Connection.connect(
        host=str(folder), user="app", dbname="appliance", application_name="unit", autocommit=True
    )


@pytest.fixture(scope="package")
def shared_server() -> Iterator[PostgresProgram]:
    with prepared_storage() as root, ending(PostgresProgram(root)) as server:
        yield server.start().wait_until_serving().migrate()


@pytest.fixture
def server(shared_server: PostgresProgram) -> PostgresProgram:
    """A Postgres with the schema, two counters and no things."""
    return with_schema(shared_server)


@pytest.fixture
def proxy(server: PostgresProgram) -> Iterator[CommitProxy]:
    """A proxy in front of it, which cuts nothing yet."""
    with CommitProxy(server.storage.socket) as made:
        yield made


@pytest.fixture
def open_database() -> Iterator[Open]:
    """Make the thing under test, connected to a folder's socket as the API is."""
    made: list[Database] = []

    def make(
        folder: Path, hold_seconds: float = 20.0, connect: Connect = connect_as_api, **options: Any
    ) -> Database:
        opened = Database(lambda: connect(folder), folder / SOCKET, hold_seconds, **options)
        made.append(opened)
        return opened

    yield make
    for database in made:
        database.close()


@pytest.fixture
def mortal(make_program: Callable[..., PostgresProgram]) -> PostgresProgram:
    """A Postgres that a test may kill and start again."""
    return with_schema(make_program().start().wait_until_serving().migrate())


def with_schema(server: PostgresProgram) -> PostgresProgram:
    """Make or empty the tables of these tests."""
    with server.connect("appliance") as owner:
        owner.execute(SCHEMA)
    return server
