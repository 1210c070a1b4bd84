"""One running appliance for the tests of a module, and a place for backups for each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backups import scene
from tests.backups.destinations import servers
from tests.backups.destinations.servers import Server
from tests.backups.scene import BackupCommand
from tests.harness.appliance import Appliance, ending
from tests.harness.folders import short_folder
from tests.harness.prepared import prepared_storage


@pytest.fixture(scope="module")
def shared() -> Iterator[Appliance]:
    """An appliance with a few transactions in its books; what a test changes, others see."""
    with prepared_storage() as root, ending(Appliance(root)) as appliance:
        appliance.start().wait_until_up()
        scene.keep_books(appliance)
        yield appliance


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for whatever a test keeps; every user may enter it."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def cli(shared: Appliance, place: Path) -> BackupCommand:
    """The command, with backups of this test only."""
    return BackupCommand(shared, scene.own_folder(place, "backups"))


@pytest.fixture(scope="module")
def made(shared: Appliance) -> Iterator[Path]:
    """A backup, to be copied."""
    with short_folder() as folder:
        cli = BackupCommand(shared, scene.own_folder(folder, "backups"))
        cli.run("create", "--name", "made")
        yield cli.folder / "made"


@pytest.fixture
def copied(cli: BackupCommand, made: Path) -> Path:
    """That backup in the folder of this test."""
    scene.copy(made, cli.folder / "made")
    return cli.folder / "made"


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto, once for all tests: two in one process share what they know."""
    with servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(moto: Server) -> Server:
    """An S3 server, whichever."""
    return moto
