"""The lock file and the test of the locks, in a folder that belongs to the database's user."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.harness.appliance import Appliance

pytestmark = pytest.mark.first_start


def test_starts_at_the_same_moment_do_not_disturb_each_others_test_of_the_locks(
    storage_folder: Path,
) -> None:
    storage = Storage(storage_folder)
    storage.prepare(system_users.detect())
    with ProcessPoolExecutor(4) as pool:
        assert list(pool.map(many_tests, [storage] * 4)) == [None] * 4
    assert list(storage.run.glob(".flock-test*")) == []


def many_tests(storage: Storage) -> None:
    for _ in range(200):
        lock.check_locks_exclude(storage)


@pytest.mark.parametrize("make_link", [Path.symlink_to, Path.hardlink_to])
def test_a_link_in_place_of_the_lock_leads_nobody_to_another_file(
    make_appliance: Callable[..., Appliance],
    storage_folder: Path,
    make_link: Callable[[Path, Path], None],
) -> None:
    victim = storage_folder.with_name("victim")
    victim.write_text("secret")
    victim.chmod(0o600)
    before = victim.stat()
    refused = make_appliance()
    refused.storage.prepare(system_users.detect())
    make_link(refused.storage.lock, victim)
    assert refused.start().wait() == 4
    assert "cannot be used as the lock" in refused.log
    after = victim.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
