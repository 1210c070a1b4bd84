"""A normal user runs it: everything belongs to that user, and nothing needs root."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import appliance
from appliance.system import system_users
from appliance.system.system_users import SystemUser
from tests.harness import locks, processes
from tests.harness.appliance import Appliance, kill_all
from tests.harness.requirements import needs_root

pytestmark = pytest.mark.first_start

NAME = f"python3.{sys.version_info.minor}"
PYTHONS = [Path("/usr/bin", NAME), Path(sys.base_prefix, "bin", NAME)]
CHECKOUT = Path(appliance.__file__).parents[1]


@pytest.fixture
def reachable_environment(storage_folder: Path) -> Path:
    """A virtual environment like this one, on an interpreter that every user may run."""
    user, packages = system_users.detect().database, Path(sysconfig.get_path("purelib"))
    for path in (packages, CHECKOUT, Path(sys.prefix) / "postgresql"):
        if not system_users.can_reach(path, user):
            pytest.skip(f"{path} is closed to the user {user.name}")
    reachable = [path for path in PYTHONS if path.exists() and system_users.can_reach(path, user)]
    if not reachable:
        pytest.skip(f"{NAME} is closed to the user {user.name}")
    folder = storage_folder.with_name("venv")
    subprocess.run([reachable[0], "-m", "venv", "--without-pip", folder], check=True)
    (folder / "postgresql").symlink_to(Path(sys.prefix) / "postgresql")
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "same.pth").write_text(f"{packages}\n{CHECKOUT}\n")
    return folder


@pytest.fixture
def demoted(reachable_environment: Path, storage_folder: Path) -> Iterator[Appliance]:
    """An appliance that a user without any power runs on a storage of its own."""
    user = system_users.detect().database
    storage_folder.mkdir()
    os.chown(storage_folder, user.uid, user.gid)
    running = Appliance(storage_folder, HOME="/nonexistent")
    running.command = (*as_user(user), reachable_environment / "bin" / "python", "-P", "-m")
    running.command += ("appliance.cli.main",)
    yield running
    kill_all([running])


@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_a_user_without_any_power_runs_everything(demoted: Appliance) -> None:
    demoted.start().wait_until_up()
    user = system_users.detect().database
    family = processes.descendants(demoted.process.pid)
    assert {process.uid for process in family} == {user.uid}
    assert {path.owner() for path in demoted.storage.root.iterdir()} == {user.name}
    assert not locks.is_free(demoted.storage)
    for role in ("app", "appliance", "postgres"):
        query = ["--", "-Atc", "SELECT current_user"]
        asked = subprocess.run(
            [*demoted.command, "psql", "--role", role, *query],
            env=demoted.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.stdout.strip() == role, asked.stderr
    assert demoted.stop() == 0


def as_user(user: SystemUser) -> tuple[str, ...]:
    numbers = (f"--reuid={user.uid}", f"--regid={user.gid}")
    return ("setpriv", *numbers, "--clear-groups", "--bounding-set=-all", "--no-new-privs")
