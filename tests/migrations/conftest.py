"""One Postgres for all of these tests, a new database for each."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.appliance import kill_all
from tests.harness.postgres_program import PostgresProgram
from tests.migrations.database import Database


@pytest.fixture(scope="package")
def server() -> Iterator[PostgresProgram]:
    """A Postgres as the container runs it, without the rest."""
    folder = Path(tempfile.mkdtemp(prefix="mi-", dir="/tmp"))
    folder.chmod(0o755)
    program = PostgresProgram(folder / "s")
    try:
        yield program.start().wait_until_serving()
    finally:
        kill_all([program])
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def client_files() -> Iterator[Path]:
    """A folder for the app's migrations, which every user may read."""
    folder = Path(tempfile.mkdtemp(prefix="cm-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def database(server: PostgresProgram, client_files: Path) -> Database:
    """An empty database."""
    made = Database(server.storage, client_files)
    made.recreate()
    return made
