"""What Postgres needs of a disk: compared with what is free, and said in MiB."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import DiskSpaceError, ExitCode
from appliance.postgres import disk_space
from appliance.storage.paths import Storage
from appliance.system import limits
from appliance.system.limits import MEBIBYTE

SayFree = Callable[[int], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SayFree:
    """Say how much is free; returns the function that does."""

    def say(free_bytes: int) -> None:
        space = limits.DiskSpace(free_bytes, 1 << 40)
        for module in ("appliance.postgres.disk_space", "appliance.storage.paths"):
            monkeypatch.setattr(f"{module}.disk_space", lambda _: space)

    return say


CHECKS: dict[str, tuple[Callable[[Path], None], int]] = {
    "create": (lambda path: disk_space.check_to_create(Storage(path)), 128 * MEBIBYTE),
    "start": (lambda path: disk_space.check_to_start(Storage(path)), 32 * MEBIBYTE),
    "go on": (disk_space.check_to_go_on, 256 * MEBIBYTE),
    "write": (lambda path: disk_space.check_to_go_on(path, 44 * MEBIBYTE), 300 * MEBIBYTE),
}


@pytest.mark.parametrize("name", CHECKS)
def test_what_is_just_enough_will_do_and_a_byte_less_will_not(
    name: str, free: SayFree, tmp_path: Path
) -> None:
    check, needed = CHECKS[name]
    free(needed)
    check(tmp_path)
    free(needed - 1)
    with pytest.raises(DiskSpaceError) as refused:
        check(tmp_path)
    said = refused.value.message
    assert f"{needed // MEBIBYTE - 1} MiB are free" in said
    assert f"{needed // MEBIBYTE} MiB are needed" in said
    assert str(tmp_path) in said


def test_postgres_that_cannot_start_ends_the_container(free: SayFree, tmp_path: Path) -> None:
    free(0)
    with pytest.raises(DiskSpaceError) as refused:
        disk_space.check_to_start(Storage(tmp_path))
    assert refused.value.exit_code == ExitCode.STORAGE


def test_a_real_disk_has_some_room(tmp_path: Path) -> None:
    found = limits.disk_space(tmp_path)
    assert 0 < found.free_bytes < found.total_bytes
