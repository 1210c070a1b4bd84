"""One Postgres for most of these tests; those that kill it make their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from appliance.postgres.connect import Connection
from appliance.postgres.transact import Database
from appliance.storage import Storage
from tests.harness.appliance import ending
from tests.harness.folders import short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.transact.proxy import CommitProxy

SCHEMA = """
    CREATE TABLE IF NOT EXISTS things (name text, CONSTRAINT once UNIQUE (name)
        DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE IF NOT EXISTS counters (id integer PRIMARY KEY, value integer NOT NULL);
    GRANT ALL ON things, counters TO app;
    TRUNCATE things, counters;
    INSERT INTO counters VALUES (1, 0), (2, 0);
"""
Open = Callable[..., Database]
Connect = Callable[[Path], Connection]


def connect_as_api(folder: Path) -> Connection:
    return psycopg.connect(
        host=str(folder), user="app", dbname="appliance", application_name="unit", autocommit=True
    )


@pytest.fixture(scope="package")
def shared_server() -> Iterator[PostgresProgram]:
    with short_folder() as folder, ending(PostgresProgram(folder / "s")) as server:
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
        folder: Path, hold_seconds: float = 20.0, connect: Connect = connect_as_api
    ) -> Database:
        made.append(Database(lambda: connect(folder), Storage(folder.parent).socket, hold_seconds))
        return made[-1]

    yield make
    for database in made:
        database.close()


def with_schema(server: PostgresProgram) -> PostgresProgram:
    """Make or empty the tables of these tests."""
    with server.connect("appliance") as owner:
        owner.execute(SCHEMA)
    return server
