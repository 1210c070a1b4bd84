"""A cluster that must not be started: a clear message, exit code 4, data untouched."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.settings import generate_secret
from appliance.storage.paths import Storage
from tests.harness.appliance import Appliance
from tests.harness.requirements import needs_root
from tests.postgres.conftest import fill
from tests.postgres.fingerprint import fingerprint

Break = Callable[[Path], object]
Make = Callable[..., Appliance]


def another_version(pgdata: Path) -> None:
    (pgdata / "PG_VERSION").write_text("15\n")


def open_to_everybody(pgdata: Path) -> None:
    pgdata.chmod(0o777)


def foreign(pgdata: Path) -> None:
    os.chown(pgdata, 0, 0)


def not_a_cluster(pgdata: Path) -> None:
    shutil.rmtree(pgdata)
    pgdata.mkdir(mode=0o700)
    (pgdata / "photos").write_text("of the family")


def flipped_bits(pgdata: Path) -> None:
    control = pgdata / "global" / "pg_control"
    content = bytearray(control.read_bytes())
    content[40] ^= 0xFF
    control.write_bytes(content)


def empty_control(pgdata: Path) -> None:
    (pgdata / "global" / "pg_control").write_bytes(b"")


def no_control(pgdata: Path) -> None:
    (pgdata / "global" / "pg_control").unlink()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (another_version, "was made by Postgres 15; this is Postgres 16"),
        (open_to_everybody, "has the permissions 0777; Postgres takes 0700 or 0750 only"),
        pytest.param(foreign, "belongs to user 0, but Postgres runs as", marks=needs_root),
        (not_a_cluster, "is not empty, but it is no Postgres cluster"),
        (flipped_bits, "pg_control is damaged"),
        (empty_control, "pg_control is damaged"),
        (no_control, "pg_control is damaged"),
    ],
)
def test_it_is_refused_in_words_and_left_as_it_was(
    existing: Storage, make_appliance: Make, break_it: Break, message: str
) -> None:
    break_it(existing.pgdata)
    before = fingerprint(existing.pgdata)
    refused = make_appliance().start()
    assert refused.wait() == 4
    assert message in refused.log
    assert "Traceback" not in refused.log
    assert fingerprint(existing.pgdata) == before


@needs_root
def test_a_full_disk_with_a_cluster_is_refused_and_the_cluster_left_as_it_was(
    stopped_cluster: Path, small_disk: Path, make_appliance: Make
) -> None:
    storage = Storage(small_disk / "s")
    subprocess.run(["cp", "-a", stopped_cluster, storage.root], check=True)
    fill(small_disk)
    before = fingerprint(storage.pgdata)
    refused = make_appliance(storage.root, SECRET_KEY_BASE=generate_secret()).start()
    assert refused.wait() == 4, refused.log
    assert "is full: 0 MiB are free" in refused.log
    assert "Traceback" not in refused.log
    assert fingerprint(storage.pgdata) == before
    (small_disk / "ballast").unlink()
    make_appliance(storage.root).start().wait_until_up()


@pytest.mark.first_start
@needs_root
@pytest.mark.parametrize("leave_mib", [0, 60])
def test_a_full_disk_without_a_cluster_is_refused_and_works_after_making_room(
    small_disk: Path, make_appliance: Make, leave_mib: int
) -> None:
    fill(small_disk, leave_mib << 20)
    refused = make_appliance(small_disk / "s").start()
    assert refused.wait() == 4, refused.log
    assert "full" in refused.log or "No space left on device" in refused.log
    assert "Traceback" not in refused.log
    assert not refused.storage.pgdata.exists()
    (small_disk / "ballast").unlink()
    make_appliance(small_disk / "s").start().wait_until_up()
