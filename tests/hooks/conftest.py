"""One appliance with books for all tests that leave it as it was, and copies of its storage."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.storage.paths import Storage
from tests.handoff.scene import paused
from tests.harness.appliance import Appliance, ending
from tests.harness.folders import short_folder
from tests.harness.prepared import prepared_storage
from tests.hooks.copying import again, copy
from tests.hooks.ledger import Ledger
from tests.hooks.scene import back_up, fail


@dataclass(frozen=True)
class Copy:
    """A copy of a storage, and the transactions that must be in it when it is restored."""

    storage: Storage
    expected: frozenset[int]


@pytest.fixture(scope="package")
def folder() -> Iterator[Path]:
    """Where copies are kept."""
    with short_folder() as path:
        yield path


@pytest.fixture(scope="package")
def running() -> Iterator[Appliance]:
    """One appliance; whoever uses it leaves it as healthy as it was."""
    with prepared_storage() as root, ending(Appliance(root)) as appliance:
        yield appliance.start().wait_until_up()


@pytest.fixture(scope="package")
def ledger(running: Appliance) -> Ledger:
    """Its books."""
    ledger = Ledger(running)
    ledger.record()
    return ledger


@pytest.fixture(scope="package")
def live_master(running: Appliance, ledger: Ledger, folder: Path) -> Copy:
    """A copy made live after a hook that worked; the cluster in it holds more than the dump."""
    expected = ledger.record()
    back_up(running.storage)
    ledger.record()
    return Copy(Storage(copy(running.storage.root, folder / "live")), frozenset(expected))


@pytest.fixture(scope="package")
def paused_master(running: Appliance, ledger: Ledger, folder: Path) -> Copy:
    """A copy made of the paused appliance after a hook that failed, beside an older dump."""
    back_up(running.storage)
    expected = ledger.record()
    assert fail(running).code != 0
    with paused(running):
        copied = copy(running.storage.root, folder / "paused")
    return Copy(Storage(copied), frozenset(expected))


@pytest.fixture
def live_copy(live_master: Copy, folder: Path) -> Iterator[Copy]:
    """This test's own."""
    yield from _own(live_master, folder)


@pytest.fixture
def paused_copy(paused_master: Copy, folder: Path) -> Iterator[Copy]:
    """This test's own."""
    yield from _own(paused_master, folder)


def _own(master: Copy, folder: Path) -> Iterator[Copy]:
    yield Copy(Storage(again(master.storage.root, folder / "c")), master.expected)
    shutil.rmtree(folder / "c")
