"""Every test here runs under the eyes of a witness: never two postmasters on the storage."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.appliance import Appliance
from tests.harness.watching import PostmasterWatch

Make = Callable[..., Appliance]


@pytest.fixture(autouse=True)
def witness(storage_folder: Path) -> Iterator[PostmasterWatch]:
    """Watches the test's storage from before its first container until after its last."""
    with PostmasterWatch(storage_folder / "pgdata") as watch:
        yield watch
    assert watch.violations == []


@pytest.fixture
def owner(appliance: Appliance) -> Appliance:
    """The container that owns the database when the test begins."""
    return appliance
