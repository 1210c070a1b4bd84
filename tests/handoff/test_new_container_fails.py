"""A new container that cannot work ends by itself, and the owner never notices."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.handoff import channel
from appliance.handoff.messages import Refused, Request
from appliance.postgres.disk_space import BYTES_TO_START
from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.folders import short_folder
from tests.harness.requirements import needs_namespaces
from tests.postgres.conftest import fill

Settings = Callable[[Path], dict[str, str]]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 256 MiB, which the test may fill."""
    with short_folder() as folder:
        options = ["-t", "tmpfs", "-o", "size=256m,mode=0755", "none", str(folder)]
        subprocess.run(["mount", *options], check=True)
        yield folder
        subprocess.run(["umount", "--lazy", folder], check=True)


def a_broken_migration(folder: Path) -> dict[str, str]:
    migrations = folder / "migrations"
    migrations.mkdir()
    (migrations / "0001_broken.sql").write_text("CREATE TABEL notes (id integer);")
    return {"CLIENT_MIGRATIONS_DIR": str(migrations)}


def a_bad_setting(_folder: Path) -> dict[str, str]:
    return {"HOLD_SECONDS": "soon"}


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (a_broken_migration, ExitCode.SCHEMA, "0001_broken.sql"),
        (a_bad_setting, ExitCode.SETTINGS, "HOLD_SECONDS"),
    ],
)
def test_a_new_container_that_cannot_start_says_why_and_the_owner_never_notices(
    owner: Appliance, make_appliance: Make, settings: Settings, code: int, message: str
) -> None:
    first = owner.postmaster()
    with Load(owner) as load:
        new = make_appliance(**settings(owner.storage.root.parent)).start()
        assert new.wait(60) == code, new.log
        load.wait_for_more()
    load.verify(owner)
    assert message in new.log
    assert owner.postmaster() == first
    assert scene.REQUESTS not in owner.log
    assert scene.kinds(owner) == []


@needs_namespaces
def test_a_disk_that_is_full_keeps_the_database_where_it_runs(
    make_appliance: Make, small_disk: Path
) -> None:
    owner = make_appliance(small_disk / "s").start().wait_until_up()
    first = owner.postmaster()
    with Load(owner) as load:
        fill(small_disk, BYTES_TO_START - 4 * 1024 * 1024)
        new = make_appliance(small_disk / "s").start()
        assert new.wait(60) == ExitCode.STORAGE, new.log
        load.wait_for_more()
    load.verify(owner)
    assert "are needed to start the database" in new.log
    assert scene.REQUESTS not in owner.log
    assert what_a_claim_is_told(owner).startswith("the disk is full")
    assert owner.postmaster() == first


def what_a_claim_is_told(owner: Appliance) -> str:
    """Request the database as a container would that did not look at the disk itself."""
    with channel.connect(scene.folder(owner) / "steward.sock") as agent:
        agent.send(Request("0" * 12))
        answer = agent.receive(30)
    assert isinstance(answer, Refused)
    return answer.reason
