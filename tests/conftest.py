"""Fixtures that every test may use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.appliance import Appliance, kill_all, waiting
from tests.harness.folders import short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until


@pytest.fixture
def storage_folder() -> Iterator[Path]:
    """A short path for a storage (a socket's path is limited), which every user may enter."""
    with short_folder() as folder:
        yield folder / "s"


@pytest.fixture
def make_appliance(storage_folder: Path) -> Iterator[Callable[..., Appliance]]:
    """Make appliances on this test's one storage (or another); all are killed at the end."""
    made: list[Appliance] = []

    def make(storage: Path | None = None, **variables: str) -> Appliance:
        made.append(Appliance(storage or storage_folder, **variables))
        return made[-1]

    yield make
    kill_all(made)


@pytest.fixture
def appliance(make_appliance: Callable[..., Appliance]) -> Appliance:
    """One appliance that is up."""
    return make_appliance().start().wait_until_up()


@pytest.fixture
def pair(make_appliance: Callable[..., Appliance]) -> tuple[Appliance, Appliance]:
    """The owner and its standby, both up. The owner came second and requested the database."""
    standby = make_appliance().start().wait_until_up()
    owner = make_appliance().start().wait_until_up()
    wait_until(lambda: waiting(standby), "the standby waits in the lock")
    return owner, standby


@pytest.fixture
def make_program(storage_folder: Path) -> Iterator[Callable[..., PostgresProgram]]:
    """Make `postgres` programs without a supervisor on this test's one storage."""
    made: list[PostgresProgram] = []

    def make(root: Path | None = None, **variables: str) -> PostgresProgram:
        made.append(PostgresProgram(root or storage_folder, **variables))
        return made[-1]

    yield make
    kill_all(made)
