"""What the storage tells: each fact by itself, and once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.facts import StorageFacts
from appliance.storage import instances, lock
from appliance.storage.paths import Storage
from appliance.system import system_users

FIRST, SECOND = "a1a1a1a1a1a1", "b2b2b2b2b2b2"
Start = Callable[[str], None]


@pytest.fixture
def storage(storage_folder: Path) -> Storage:
    """A storage with its folders, on which nothing runs."""
    made = Storage(storage_folder)
    made.prepare(system_users.detect())
    return made


@pytest.fixture
def start(storage: Storage) -> Iterator[Start]:
    """Register a container that lives until the test ends."""
    alive: list[int] = []
    user = system_users.detect().database
    yield lambda name: alive.append(instances.register(storage, name, user))
    for descriptor in alive:
        os.close(descriptor)


def test_of_a_storage_that_is_not_there_only_the_disk_cannot_be_told(tmp_path: Path) -> None:
    found = StorageFacts(Storage(tmp_path / "none"))
    assert (found.exists, found.owner, found.is_owned, found.standbys) == (False, None, False, ())
    assert found.backup.ok
    with pytest.raises(FileNotFoundError):
        _ = found.disk_space


def test_whoever_does_not_own_it_is_a_standby(storage: Storage, start: Start) -> None:
    start(FIRST)
    start(SECOND)
    assert names(storage) == {FIRST, SECOND}, "nobody has owned it yet"
    lock.note_owner(storage, FIRST)
    assert names(storage) == {SECOND}


def test_what_was_told_once_stays_told(storage: Storage) -> None:
    found = StorageFacts(storage)
    assert found.owner is None
    lock.note_owner(storage, FIRST)
    assert found.owner is None, "all that one report says is of one time"
    assert StorageFacts(storage).owner == lock.read_owner(storage)


def test_who_owns_it_now_is_the_locks_word_not_the_notes(storage: Storage) -> None:
    lock.note_owner(storage, FIRST)
    assert not StorageFacts(storage).is_owned
    user = system_users.detect().database
    descriptor = lock.open_lock(storage, user.uid, user.gid)
    try:
        assert lock.try_lock(descriptor)
        assert StorageFacts(storage).is_owned
    finally:
        os.close(descriptor)


def test_the_disk_is_the_storages(storage: Storage) -> None:
    space = StorageFacts(storage).disk_space
    assert 0 < space.free_bytes <= space.total_bytes
    assert not space.read_only


def names(storage: Storage) -> set[str]:
    """The standbys' instances."""
    return {standby.instance for standby in StorageFacts(storage).standbys}
