"""One appliance for most of these tests, and the command without one."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import speed
from tests.harness.appliance import Appliance, ending
from tests.harness.command import COMMAND
from tests.harness.prepared import prepared_storage

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="package")
def running() -> Iterator[Appliance]:
    """An appliance that is up. Tests leave it as it is, but for keys."""
    with prepared_storage() as root, ending(Appliance(root)) as appliance:
        yield appliance.start().wait_until_up()


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
            timeout=60 * speed.scale(),
        )

    return call
