"""Between a hook and the platform's copy: what opens the window, what closes it, what does not."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.storage import copy_detection, lock
from appliance.storage.copy_watch import CopyWatch
from appliance.storage.paths import Storage
from appliance.system.inotify import Watcher
from tests.hooks.copying import copy
from tests.hooks.marks import OPEN, SHUT, marks, open_window

Read = Callable[[Storage], object]


def manifest(storage: Storage) -> None:
    copy_detection.manifest_path(storage).read_bytes()


def last_mark(storage: Storage) -> None:
    storage.hook_window.read_bytes()


def test_a_disk_without_room_does_not_keep_an_old_claim_alive(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    open_window(storage)
    monkeypatch.setattr(copy_detection, "write_together", full)
    with pytest.raises(OSError, match="No space left"):
        copy_detection.begin(storage)
    assert not copy_detection.is_open(storage)


@pytest.mark.parametrize("early", [True, False], ids=["watched before", "watched from then on"])
def test_a_copy_by_name_closes_it(storage: Storage, tmp_path: Path, early: bool) -> None:
    watch = CopyWatch(storage) if early else None
    open_window(storage)
    watch = watch or CopyWatch(storage)
    assert not watch.look().closed
    copied = Storage(copy(storage.root, tmp_path / "copy"))
    assert watch.look().closed
    assert (marks(storage), marks(copied)) == (SHUT, OPEN)
    assert watch.seconds_left() is None


def test_a_copy_closes_it_however_often_the_watcher_looks_meanwhile(
    storage: Storage, tmp_path: Path
) -> None:
    watch = CopyWatch(storage)
    open_window(storage)
    seen: list[str] = []

    def look(path: Path) -> None:
        if watch.look().closed:
            seen.append(path.name)

    copy(storage.root, tmp_path / "copy", look)
    assert seen == ["owner.lock"], "by the first look after the last mark, and no other"
    assert marks(storage) == SHUT


def test_every_window_needs_its_own_copy(storage: Storage, tmp_path: Path) -> None:
    watch = CopyWatch(storage)
    for number in range(3):
        open_window(storage)
        assert not watch.look().closed
        copy(storage.root, tmp_path / str(number))
        assert watch.look().closed
        assert marks(storage) == SHUT


def test_two_watchers_may_see_the_same_copy(storage: Storage, tmp_path: Path) -> None:
    open_window(storage)
    watches = [CopyWatch(storage), CopyWatch(storage)]
    copy(storage.root, tmp_path / "copy")
    assert [watch.look().closed for watch in watches] == [True, True]
    open_window(storage)
    assert [watch.look().closed for watch in watches] == [False, False]
    assert marks(storage) == OPEN


@pytest.mark.parametrize(
    "reads",
    [
        pytest.param([], id="nothing is read"),
        pytest.param([manifest], id="the manifest alone"),
        pytest.param([manifest, manifest], id="the manifest twice"),
        pytest.param([last_mark], id="the last mark alone"),
        pytest.param([last_mark, last_mark], id="the last mark twice"),
        pytest.param([last_mark, manifest], id="both in the wrong order"),
        pytest.param([lambda s: list(s.root.rglob("*"))], id="all names are listed"),
        pytest.param(
            [lambda s: [p.stat() for p in s.root.rglob("*")]], id="every file is looked at"
        ),
        pytest.param([copy_detection.is_open, copy_detection.seconds_open], id="we look ourselves"),
        pytest.param([copy_detection.check_no_copy], id="a container starts"),
    ],
)
def test_it_stays_open_if(storage: Storage, reads: list[Read]) -> None:
    watch = CopyWatch(storage)
    open_window(storage)
    for read in reads:
        read(storage)
        assert not watch.look().closed
    assert marks(storage) == OPEN


def test_what_was_read_of_an_older_dump_does_not_count_for_a_newer_one(storage: Storage) -> None:
    watch = CopyWatch(storage)
    open_window(storage)
    manifest(storage)
    assert not watch.look().closed
    copy_detection.close_window(storage)
    open_window(storage)
    assert not watch.look().closed
    last_mark(storage)
    assert not watch.look().closed
    assert marks(storage) == OPEN


def test_a_watcher_that_slept_through_a_whole_window_does_not_close_the_next_one(
    storage: Storage,
) -> None:
    open_window(storage)
    watch = CopyWatch(storage)
    manifest(storage)
    copy_detection.close_window(storage)
    open_window(storage)
    assert not watch.look().closed, "of the new dump nothing was read"
    assert marks(storage) == OPEN


def test_a_watcher_that_slept_through_a_copy_and_a_new_hook_watches_the_new_window(
    storage: Storage, tmp_path: Path
) -> None:
    open_window(storage)
    watch = CopyWatch(storage)
    copy(storage.root, tmp_path / "first")
    open_window(storage)
    assert not watch.look().closed, "of the new dump nothing was read"
    assert marks(storage) == OPEN
    copy(storage.root, tmp_path / "second")
    assert watch.look().closed
    assert marks(storage) == SHUT


def test_an_old_window_is_closed_at_the_next_look_and_a_young_one_is_not(storage: Storage) -> None:
    watch = CopyWatch(storage)
    open_window(storage)
    age(storage, copy_detection.LONGEST_S - 60)
    assert 0 < (watch.seconds_left() or 0) <= 60
    assert not watch.look().closed
    age(storage, copy_detection.LONGEST_S)
    assert watch.seconds_left() == 0
    assert watch.look().closed
    assert marks(storage) == SHUT


def test_a_window_whose_last_mark_is_gone_is_closed_at_the_next_look(storage: Storage) -> None:
    watch = CopyWatch(storage)
    open_window(storage)
    storage.hook_window.unlink()
    assert watch.look().closed
    assert marks(storage) == SHUT


def test_without_inotify_it_stays_open_until_its_time_is_over(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Watcher, "__init__", refuse)
    watch = CopyWatch(storage)
    assert watch.descriptors == []
    open_window(storage)
    copy(storage.root, tmp_path / "copy")
    assert not watch.look().closed
    assert marks(storage) == OPEN
    age(storage, copy_detection.LONGEST_S)
    assert watch.look().closed
    assert marks(storage) == SHUT


def test_the_end_of_a_container_closes_it_only_if_no_postgres_runs(storage: Storage) -> None:
    open_window(storage)
    with lock.holding(storage.lock) as ours:
        assert ours
        copy_detection.close_window_if_stopped(storage)
        assert marks(storage) == OPEN
    copy_detection.close_window_if_stopped(storage)
    assert marks(storage) == SHUT


def test_to_close_what_is_closed_changes_nothing(storage: Storage) -> None:
    copy_detection.close_window(storage)
    assert marks(storage) == []
    open_window(storage)
    copy_detection.close_window(storage)
    copy_detection.close_window(storage)
    assert marks(storage) == SHUT


def age(storage: Storage, seconds: float) -> None:
    """Make the window so old; nothing is opened by it."""
    then = time.time() - seconds
    os.utime(storage.hook_window, (then, then))
