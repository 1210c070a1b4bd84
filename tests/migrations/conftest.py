"""One Postgres for all of these tests, a new database for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.appliance import ending
from tests.harness.folders import short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.harness.prepared import prepared_storage
from tests.migrations.database import Database


@pytest.fixture(scope="package")
def server() -> Iterator[PostgresProgram]:
    """A Postgres as the container runs it, without the rest."""
    with prepared_storage() as root, ending(PostgresProgram(root)) as program:
        yield program.start().wait_until_serving()


@pytest.fixture
def client_files() -> Iterator[Path]:
    """A folder for the app's migrations, which every user may read."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def database(server: PostgresProgram, client_files: Path) -> Database:
    """An empty database."""
    made = Database(server.storage, client_files)
    made.recreate()
    return made
