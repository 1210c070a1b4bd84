"""The kernel tells who opens what: by file and by folder, many at once, and when they go."""

import os
import select
import shutil
from pathlib import Path

import pytest

from appliance.system.inotify import MOVED_TO, OPENED, Watcher


def test_a_file_that_is_opened_is_told_with_its_own_path(tmp_path: Path) -> None:
    watched, other = tmp_path / "watched", tmp_path / "other"
    watched.write_text("1")
    other.write_text("2")
    with Watcher() as watcher:
        watcher.watch(watched, OPENED)
        other.read_text()
        assert watcher.happened() == []
        watched.read_text()
        assert watcher.happened() == [(watched, "", OPENED)]
        assert watcher.happened() == []


def test_what_is_opened_in_a_folder_is_told_by_name_and_in_order(tmp_path: Path) -> None:
    names = ["b", "a", "with a space", "ümlaut", "x" * 255]
    for name in names:
        (tmp_path / name).touch()
    with Watcher() as watcher:
        watcher.watch(tmp_path, OPENED)
        for name in names:
            (tmp_path / name).read_bytes()
        assert watcher.happened() == [(tmp_path, name, OPENED) for name in names]


def test_to_look_at_a_file_without_opening_it_is_no_event(tmp_path: Path) -> None:
    path = tmp_path / "watched"
    path.touch()
    with Watcher() as watcher:
        watcher.watch(path, OPENED)
        path.stat()
        os.utime(path, (0, 0))
        path.chmod(0o600)
        path.rename(path.with_name("moved"))
        assert watcher.happened() == []
        path.with_name("moved").read_text()
        assert watcher.happened() == [(path, "", OPENED)]


def test_a_file_that_is_renamed_into_a_folder_is_told_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with Watcher() as watcher:
        watcher.watch(tmp_path / "there", MOVED_TO)
        (tmp_path / "there" / "made").write_text("not moved")
        (tmp_path / "came").touch()
        (tmp_path / "came").rename(tmp_path / "there" / "arrived")
        (tmp_path / "there" / "arrived").rename(tmp_path / "left")
        assert watcher.happened() == [(tmp_path / "there", "arrived", MOVED_TO)]


def test_the_descriptor_can_be_read_when_something_has_happened_and_not_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "watched"
    path.touch()
    with Watcher() as watcher:
        watcher.watch(path, OPENED)
        assert select.select([watcher.fileno()], [], [], 0)[0] == []
        path.read_text()
        assert select.select([watcher.fileno()], [], [], 10)[0] == [watcher.fileno()]
        watcher.happened()
        assert select.select([watcher.fileno()], [], [], 0)[0] == []


def test_more_events_than_one_read_takes_are_all_told(tmp_path: Path) -> None:
    names = [f"{number:04}-{'x' * 200}" for number in range(1000)]
    for name in names:
        (tmp_path / name).touch()
    with Watcher() as watcher:
        watcher.watch(tmp_path, OPENED)
        for name in names:
            (tmp_path / name).read_bytes()
        told = []
        while some := watcher.happened():
            told += some
    assert told == [(tmp_path, name, OPENED) for name in names]


def test_more_events_than_the_kernel_keeps_do_not_end_it(tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"the kernel keeps {limit} events here")
    # Two of the same one after the other are one event.
    for name in "ab":
        (tmp_path / name).touch()
    with Watcher() as watcher:
        watcher.watch(tmp_path, OPENED)
        for number in range(limit + 10):
            os.close(os.open(tmp_path / "ab"[number % 2], os.O_RDONLY))
        told = 0
        while some := watcher.happened():
            told += len(some)
        assert limit - 10 < told <= limit
        (tmp_path / "a").read_text()
        assert watcher.happened() == [(tmp_path, "a", OPENED)]


def test_a_folder_that_vanishes_opens_nothing_and_its_successor_can_be_watched(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with Watcher() as watcher:
        watcher.watch(folder, OPENED)
        shutil.rmtree(folder)
        # rmtree itself opens the folder.
        assert {name for _, name, _ in watcher.happened()} <= {""}
        folder.mkdir()
        (folder / "new").touch()
        (folder / "new").read_text()
        assert watcher.happened() == []
        watcher.watch(folder, OPENED)
        (folder / "new").read_text()
        assert watcher.happened() == [(folder, "new", OPENED)]


def test_a_file_that_is_removed_was_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "watched"
    path.touch()
    with Watcher() as watcher:
        watcher.watch(path, OPENED)
        path.unlink()
        assert watcher.happened() == []


def test_what_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with Watcher() as watcher, pytest.raises(FileNotFoundError):
        watcher.watch(tmp_path / "nothing", OPENED)


def test_two_watchers_are_told_each(tmp_path: Path) -> None:
    path = tmp_path / "watched"
    path.touch()
    with Watcher() as one, Watcher() as other:
        one.watch(path, OPENED)
        other.watch(path, OPENED)
        path.read_text()
        assert one.happened() == other.happened() == [(path, "", OPENED)]


def test_it_gives_its_descriptor_back(tmp_path: Path) -> None:
    with Watcher() as watcher:
        descriptor = watcher.fileno()
        os.fstat(descriptor)
        assert not os.get_inheritable(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
