"""Invariant 5: where flock does not exclude, the appliance refuses; a setting overrides."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.system import system_users
from tests.harness.appliance import Appliance
from tests.harness.requirements import needs_compiler, needs_root

pytestmark = pytest.mark.first_start

SOURCE = Path(__file__).with_name("broken_flock.c")


@pytest.fixture(scope="module")
def broken_flock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that stands between the programs and flock(2)."""
    library = tmp_path_factory.mktemp("shim") / "broken_flock.so"
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True)
    return library


@needs_compiler
@pytest.mark.parametrize("unsupported", [False, True])
def test_a_file_system_whose_locks_do_not_exclude_is_refused(
    make_appliance: Callable[..., Appliance], broken_flock: Path, unsupported: bool
) -> None:
    variables = {"LD_PRELOAD": str(broken_flock)}
    if unsupported:
        variables["FLOCK_UNSUPPORTED"] = "1"
    refused = make_appliance(**variables).start()
    assert refused.wait() == 4
    assert f"File locks do not work on {refused.storage.root}" in refused.log
    assert "ALLOW_BROKEN_FLOCK=true" in refused.log
    assert not refused.storage.pgdata.exists()
    assert not list(refused.storage.run.glob(".flock-test*"))


@needs_compiler
@pytest.mark.parametrize("unsupported", [False, True])
def test_allow_broken_flock_overrides_the_refusal(
    make_appliance: Callable[..., Appliance], broken_flock: Path, unsupported: bool
) -> None:
    variables = {"LD_PRELOAD": str(broken_flock), "ALLOW_BROKEN_FLOCK": "true"}
    if unsupported:
        variables["FLOCK_UNSUPPORTED"] = "1"
    running = make_appliance(**variables).start().wait_until_up()
    assert running.status("/ready") == 200
    assert "Traceback" not in running.run("status").stderr
    assert running.stop() == 0


@needs_root
def test_the_apis_user_can_neither_take_nor_replace_the_lock(appliance: Appliance) -> None:
    storage = appliance.storage
    assert appliance.programs()["api"].uid == system_users.detect().api.uid
    for attempt in (
        lambda: os.open(storage.lock, os.O_RDONLY),
        lambda: os.open(storage.lock, os.O_RDWR),
        storage.lock.unlink,
        lambda: storage.lock.rename(storage.run / "elsewhere"),
        (storage.run / "mine").touch,
    ):
        assert as_the_api(attempt) == "PermissionError"


def as_the_api(attempt: Callable[[], object]) -> str:
    """Run it in a child with the API's user; returns the name of the error, or nothing."""
    user = system_users.detect().api
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        try:
            attempt()
        except OSError as error:
            os.write(writer, type(error).__name__.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, encoding="ascii") as answer:
        return answer.read()
