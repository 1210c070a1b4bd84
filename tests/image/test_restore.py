"""Every way in which the platform makes a backup, restored: never stale, never torn."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from docker.models.containers import Container

from tests.harness.nightly import most_at_night
from tests.harness.waiting import wait_until
from tests.image.backup_scene import Books, pre_backup, restored, source
from tests.image.contained import Contained
from tests.platform.containers import execute
from tests.platform.faults import another_program, broken_by

Break = Callable[[Container], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def books(shared: Contained) -> Books:
    """One appliance for all tests here; each leaves it as healthy as it found it."""
    return Books(shared)


def test_writes_that_go_on_during_the_whole_backup_do_no_harm(books: Books, tmp_path: Path) -> None:
    with books.being_written():
        before = books.so_far()
        back_up(books, tmp_path / "one")
        books.wait_for_more()
    with restored(books.appliance.platform, tmp_path / "one") as appliance:
        books.check(appliance, before)
        assert source(appliance) == "dump"


@pytest.mark.nightly
def test_two_backups_hold_their_own_state_each(books: Books, tmp_path: Path) -> None:
    first = books.record()
    back_up(books, tmp_path / "first")
    second = books.record()
    back_up(books, tmp_path / "second")
    books.record()
    for path, acknowledged in ((tmp_path / "first", first), (tmp_path / "second", second)):
        with restored(books.appliance.platform, path) as appliance:
            books.check(appliance, acknowledged, exactly=True)
            assert source(appliance) == "dump"


@contextmanager
def missing(container: Container) -> Iterator[None]:
    with broken_by(container, "mv /hooks/pre-backup /", "mv /pre-backup /hooks/"):
        yield


@contextmanager
def not_executable(container: Container) -> Iterator[None]:
    with broken_by(container, "chmod -x /hooks/pre-backup", "chmod +x /hooks/pre-backup"):
        assert pre_backup(container).code != 0
        yield


@contextmanager
def failing(container: Container) -> Iterator[None]:
    with another_program(container, "pg_dump", "echo it is broken >&2; exit 1"):
        failed = pre_backup(container)
        assert failed.code == 1
        assert "pg_dump failed with exit code 1: it is broken" in failed.stderr
        yield


@contextmanager
def killed(container: Container) -> Iterator[None]:
    with another_program(container, "pg_dump", "kill -9 $PPID; exec sleep 9"):
        assert pre_backup(container).code == 137
        yield


BROKEN = (missing, not_executable, failing, killed)


@pytest.mark.parametrize("broken", most_at_night(BROKEN, [failing]))
def test_without_a_hook_that_works_the_paused_cluster_is_used_and_no_older_dump(
    books: Books, tmp_path: Path, broken: Break
) -> None:
    books.record()
    back_up(books, tmp_path / "earlier")
    books.record()
    with broken(books.appliance.container), books.being_written():
        before = books.so_far()
        books.appliance.platform.backup(books.appliance.app, tmp_path / "paused")
        books.wait_for_more()
    with restored(books.appliance.platform, tmp_path / "paused") as appliance:
        books.check(appliance, before)
        assert source(appliance) == "pgdata"


@pytest.mark.parametrize("stop", most_at_night([Container.stop, Container.kill], [Container.kill]))
def test_a_container_that_does_not_run_is_restored_from_its_cluster(
    books: Books, tmp_path: Path, stop: Callable[[Container], None]
) -> None:
    books.record()
    back_up(books, tmp_path / "earlier")
    before = books.record()
    stop(books.appliance.container)
    try:
        books.appliance.platform.backup(books.appliance.app, tmp_path / "stopped")
    finally:
        books.appliance.start().wait_until_up()
    with restored(books.appliance.platform, tmp_path / "stopped") as appliance:
        books.check(appliance, before, exactly=True)
        assert source(appliance) == "pgdata"


def back_up(books: Books, path: Path) -> None:
    """A backup whose hook works, until the agent has seen the platform's copy."""
    books.appliance.platform.backup(books.appliance.app, path)
    marks = "ls /storage/run/hook-window.json /storage/backups/.hook/manifest.json"
    container = books.appliance.container
    wait_until(lambda: execute(container, "sh", "-c", marks).stdout == "", "the copy was seen")
