"""A cluster that was stopped cleanly, made once, and copied for each test that breaks it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.storage.paths import Storage
from tests.harness.folders import short_folder
from tests.harness.prepared import prepared_storage


@pytest.fixture(scope="package")
def stopped_cluster() -> Iterator[Path]:
    """The storage of an appliance that was stopped."""
    with prepared_storage() as root:
        yield root


@pytest.fixture
def existing(stopped_cluster: Path, storage_folder: Path) -> Storage:
    """This test's storage with a copy of that cluster in it."""
    subprocess.run(["cp", "-a", stopped_cluster, storage_folder], check=True)
    return Storage(storage_folder)


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 256 MiB, which a test may fill. Needs root."""
    with short_folder() as folder:
        options = ["-t", "tmpfs", "-o", "size=256m,mode=0755", "none", str(folder)]
        subprocess.run(["mount", *options], check=True)
        yield folder
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, leave_bytes: int = 0) -> None:
    """Write a file until no more than `leave_bytes` are free."""
    status = os.statvfs(folder)
    with (folder / "ballast").open("wb") as ballast:
        os.posix_fallocate(
            ballast.fileno(), 0, status.f_bavail * status.f_frsize - leave_bytes or 1
        )
