"""A storage that cannot be used is refused before anything is made in it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.appliance import Appliance
from tests.harness.requirements import needs_root

pytestmark = pytest.mark.first_start

Make = Callable[..., Appliance]


def test_a_path_too_long_for_a_socket_is_refused(
    storage_folder: Path, make_appliance: Make
) -> None:
    refused = make_appliance(storage_folder / ("long" * 25)).start()
    assert refused.wait() == 4
    assert "a socket's may have 107 at most" in refused.log
    assert "Choose a shorter STORAGE_DIR" in refused.log


def test_a_storage_that_is_a_file_is_refused(storage_folder: Path, make_appliance: Make) -> None:
    storage_folder.write_text("no folder")
    refused = make_appliance().start()
    assert refused.wait() == 4
    assert f"{storage_folder} cannot be used as storage" in refused.log
    assert storage_folder.read_text() == "no folder"


@needs_root
def test_a_read_only_storage_is_refused(small_disk: Path, make_appliance: Make) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    refused = make_appliance(small_disk).start()
    assert refused.wait() == 4
    assert f"{small_disk} cannot be used as storage: Read-only file system" in refused.log


@needs_root
def test_a_storage_that_the_database_user_cannot_write_to_still_serves_root(
    make_appliance: Make, storage_folder: Path
) -> None:
    storage_folder.mkdir(mode=0o700)
    storage_folder.parent.chmod(0o700)
    running = make_appliance().start().wait_until_up()
    assert running.stop() == 0
    shutil.rmtree(storage_folder)
