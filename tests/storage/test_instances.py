"""The folders of the containers that share a storage: who lives is the kernel's word."""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance import __version__
from appliance.errors import StorageError
from appliance.storage import instances
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.harness.appliance import Appliance
from tests.harness.requirements import needs_root
from tests.harness.waiting import wait_until

FIRST, SECOND = "a1a1a1a1a1a1", "b2b2b2b2b2b2"
Register = Callable[[str], int]


@pytest.fixture
def storage(storage_folder: Path) -> Storage:
    """A storage with its folders, on which nothing runs."""
    made = Storage(storage_folder)
    made.prepare(system_users.detect())
    return made


@pytest.fixture
def register(storage: Storage) -> Iterator[Register]:
    """Register instances; all of them die at the end, unless the test closed them."""
    opened: list[int] = []

    def call(name: str) -> int:
        opened.append(instances.register(storage, name, system_users.detect().database))
        return opened[-1]

    yield call
    for descriptor in opened:
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_container_lives_as_long_as_its_descriptor_is_open(
    storage: Storage, register: Register
) -> None:
    assert not InstanceDirectory(storage, FIRST).is_alive()
    descriptor = register(FIRST)
    assert InstanceDirectory(storage, FIRST).is_alive()
    (found,) = instances.living(storage)
    assert (found.instance, found.hostname) == (FIRST, os.uname().nodename)
    assert (found.version, found.waits_since) == (__version__, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.started_at)
    os.close(descriptor)
    assert not InstanceDirectory(storage, FIRST).is_alive()
    assert instances.living(storage) == []


def test_the_next_one_removes_the_folders_of_the_dead_and_never_that_of_a_living_one(
    storage: Storage, register: Register
) -> None:
    dead, living = register(FIRST), register(SECOND)
    assert names(storage) == {FIRST, SECOND}
    InstanceDirectory(storage, FIRST).note_handoff_complete()
    os.close(dead)
    # However long ago: only the lock counts.
    os.utime(InstanceDirectory(storage, SECOND).path, (0, 0))
    os.utime(InstanceDirectory(storage, SECOND).path / "instance.json", (0, 0))
    register("c3c3c3c3c3c3")
    assert names(storage) == {SECOND, "c3c3c3c3c3c3"}
    os.close(living)
    register("d4d4d4d4d4d4")
    assert names(storage) == {"c3c3c3c3c3c3", "d4d4d4d4d4d4"}


def test_a_half_made_folder_is_left_alone_for_a_minute(
    storage: Storage, register: Register
) -> None:
    young, old = storage.instances / f".{FIRST}", storage.instances / f".{SECOND}"
    young.mkdir()
    old.mkdir()
    minute_ago = time.time() - 61
    os.utime(old, (minute_ago, minute_ago))
    register("c3c3c3c3c3c3")
    assert names(storage) == {young.name, "c3c3c3c3c3c3"}
    assert [one.instance for one in instances.living(storage)] == ["c3c3c3c3c3c3"]


def test_a_folder_that_is_being_made_for_long_is_kept_while_it_is_locked(
    storage: Storage, register: Register
) -> None:
    register(FIRST)
    slow = InstanceDirectory(storage, FIRST).path.rename(storage.instances / f".{FIRST}")
    os.utime(slow, (0, 0))
    register(SECOND)
    assert names(storage) == {slow.name, SECOND}


@pytest.mark.parametrize("age_s", [0, 10**8], ids=["young", "old"])
def test_a_folder_without_this_lock_is_of_another_build_and_stays(
    storage: Storage, register: Register, age_s: int
) -> None:
    future = storage.instances / FIRST
    future.mkdir()
    for name in ("life.lock", "container.json", "agent.sock"):
        (future / name).touch()
    then = time.time() - age_s
    for path in (*future.iterdir(), future):
        os.utime(path, (then, then))
    register(SECOND)
    assert names(storage) == {FIRST, SECOND}
    assert len(list(future.iterdir())) == 3
    assert [one.instance for one in instances.living(storage)] == [SECOND]


def test_the_folder_of_a_living_container_of_another_build_stays_whatever_else_is_in_it(
    storage: Storage, register: Register
) -> None:
    register(FIRST)
    future = InstanceDirectory(storage, FIRST).path
    (future / "instance.json").rename(future / "container.json")
    (future / "agents").mkdir()
    register(SECOND)
    assert names(storage) == {FIRST, SECOND}


def test_what_was_removed_in_part_is_removed_later_on(
    storage: Storage, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(register(FIRST))
    with monkeypatch.context() as patched:
        # As if it was killed in between: the lock is gone first.
        patched.setattr("shutil.rmtree", lambda path, **_: (path / "alive.lock").unlink())
        register(SECOND)
    assert names(storage) == {f".{FIRST}", SECOND}
    os.utime(storage.instances / f".{FIRST}", (0, 0))
    register("c3c3c3c3c3c3")
    assert names(storage) == {SECOND, "c3c3c3c3c3c3"}


def test_they_are_listed_in_the_order_in_which_they_started(
    storage: Storage, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, started in ((FIRST, "10:00:02"), (SECOND, "10:00:01")):
        moment = f"2026-01-01T{started}Z"
        monkeypatch.setattr("appliance.system.clock.timestamp", lambda moment=moment: moment)
        register(name)
    assert [one.instance for one in instances.living(storage)] == [SECOND, FIRST]


def test_one_whose_note_is_damaged_lives_but_is_not_listed(
    storage: Storage, register: Register
) -> None:
    register(FIRST)
    for damage in ("", "[]", "nonsense", '{"format": 1}'):
        (InstanceDirectory(storage, FIRST).path / "instance.json").write_text(damage)
        assert instances.living(storage) == []
        assert InstanceDirectory(storage, FIRST).read() is None
    register(SECOND)
    assert InstanceDirectory(storage, FIRST).is_alive()
    assert names(storage) == {FIRST, SECOND}


def test_what_it_says_of_itself_is_kept_and_taken_back(
    storage: Storage, register: Register
) -> None:
    register(FIRST)
    folder = InstanceDirectory(storage, FIRST)
    assert (folder.waits_since(), folder.has_requested(), folder.is_handoff_complete()) == (
        None,
        False,
        False,
    )
    folder.note_waiting()
    folder.note_request()
    folder.note_handoff_complete()
    (found,) = instances.living(storage)
    assert found.waits_since == folder.waits_since() is not None
    assert (folder.has_requested(), folder.is_handoff_complete()) == (True, True)
    folder.note_owning()
    folder.note_owning()
    assert folder.waits_since() is None


@needs_root
def test_its_folder_belongs_to_the_databases_user_and_may_be_read_by_the_api(
    storage: Storage, register: Register
) -> None:
    register(FIRST)
    folder, user = InstanceDirectory(storage, FIRST).path, system_users.detect().database
    assert (folder.stat().st_uid, folder.stat().st_gid) == (user.uid, user.gid)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    for note in ("instance.json", "alive.lock"):
        assert stat.S_IMODE((folder / note).stat().st_mode) == 0o644


def test_one_that_cannot_be_asked_is_not_taken_for_dead(
    storage: Storage, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(FIRST)

    def out_of_descriptors(_: Path) -> bool:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    with monkeypatch.context() as patched:
        patched.setattr("appliance.storage.lock.is_locked", out_of_descriptors)
        register(SECOND)
    assert names(storage) == {FIRST, SECOND}


def test_what_is_no_folder_of_a_container_is_nobody(storage: Storage, register: Register) -> None:
    (storage.instances / "stray").touch()
    register(FIRST)
    assert [one.instance for one in instances.living(storage)] == [FIRST]


def test_a_storage_that_cannot_be_written_is_said_in_words(storage: Storage) -> None:
    storage.instances.rmdir()
    storage.instances.symlink_to("/proc/self")
    with pytest.raises(StorageError, match="cannot be written"):
        instances.register(storage, FIRST, system_users.detect().database)


def test_a_running_container_is_listed_until_it_is_killed(appliance: Appliance) -> None:
    (found,) = instances.living(appliance.storage)
    # Postgres and the API outlive nothing: neither of them holds this lock.
    assert InstanceDirectory(appliance.storage, found.instance).is_handoff_complete()
    appliance.process.kill()
    appliance.wait()
    wait_until(lambda: instances.living(appliance.storage) == [], "it is gone")


def names(storage: Storage) -> set[str]:
    return {path.name for path in storage.instances.iterdir()}
