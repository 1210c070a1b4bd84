"""Appliances of both builds, under the eyes of a witness: never two postmasters on a storage."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compatibility.builds import Build, OneBuild, unpack
from tests.harness.appliance import Appliance, kill_all
from tests.harness.folders import DISK, short_folder
from tests.harness.watching import PostmasterWatch

Make = Callable[..., Appliance]
Variables = Callable[[Build], dict[str, str]]


@pytest.fixture(scope="session")
def old_build() -> Iterator[Path]:
    """The root of 7b1dafa. On a disk: nothing may be executed where memory is mounted."""
    with short_folder(DISK) as folder:
        yield unpack(folder)


@pytest.fixture(scope="session")
def variables(old_build: Path) -> Variables:
    """What makes an `appliance` one of this build, and keeps it from warning of missing copies."""
    where = {Build.OLD: {"PYTHONPATH": str(old_build)}, Build.NEW: {}}
    return lambda build: {"BACKUP_ACKNOWLEDGED": "true", **where[build]}


@pytest.fixture
def make(storage_folder: Path, variables: Variables) -> Iterator[Make]:
    """Make appliances on this test's one storage, which the first makes; all are killed at the end.

    Not with `make_appliance`: that one has the storage made by this build.
    """
    made: list[tuple[Build, Appliance]] = []

    def make(build: Build, **more: str) -> Appliance:
        made.append((build, OneBuild(storage_folder, **variables(build), **more)))
        return made[-1][1]

    yield make
    kill_all([one for _, one in made])
    # pytest shows it if the test has failed.
    for build, one in made:
        print(f"{build.value}:\n{one.log}\n")


@pytest.fixture
def witness(storage_folder: Path) -> Iterator[PostmasterWatch]:
    """Watches the test's storage from before its first container until after its last."""
    with PostmasterWatch(storage_folder / "pgdata") as watch:
        yield watch
    assert watch.violations == []


def one_then_the_other(build: Build) -> str:
    """The name of a test in which this build comes first."""
    return f"{build.value} then {build.other.value}"


both_ways = pytest.mark.parametrize("first", Build, ids=one_then_the_other)
