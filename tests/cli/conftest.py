"""One appliance for most of these tests, and the command without one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.appliance import COMMAND, Appliance, kill_all

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="package")
def running() -> Iterator[Appliance]:
    """An appliance that is up. Tests leave it as it is, but for keys."""
    folder = Path(tempfile.mkdtemp(prefix="cli-", dir="/tmp"))
    folder.chmod(0o755)
    appliance = Appliance(folder / "s")
    try:
        yield appliance.start().wait_until_up()
    finally:
        kill_all([appliance])
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def run(storage_folder: Path) -> Run:
    """Run the command; its storage does not exist unless the test makes it."""

    def call(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ["PATH"], "STORAGE_DIR": str(storage_folder), **variables}
        return subprocess.run(
            [COMMAND, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call
