"""The pre-backup hook in real containers: beside others, on a full disk, while all else goes on."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from appliance.errors import ExitCode
from tests.harness.waiting import wait_until
from tests.image.backup_scene import POST_RESTORE, Books, pre_backup, restored, source
from tests.image.conftest import Deploy
from tests.image.contained import Contained, postmasters
from tests.image.engine import Engine
from tests.image.test_redeploy import start_beside, up
from tests.image.test_restore import missing
from tests.platform import Application, Platform
from tests.platform.containers import execute
from tests.platform.faults import another_program, new_volume, refusal, wait_until_inside
from tests.platform.volume import Secrets, Volume

FILL = "fallocate -l $(($(stat -f -c '%a*%S' /storage) - 48*1024*1024)) /storage/filling"
DUMPS_THAT_WAIT = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE query LIKE 'LOCK TABLE %' AND wait_event_type = 'Lock'"
)
NOT_THE_OWNER = "its hook failed in a container that did not own the database"
COPIED_LIVE = "the cluster cannot be trusted: it was copied while its database ran"
NO_ROOM = "The disk of /storage/backups"


class Pair:
    """Two containers of one application: the older owns the database, the newer is a standby."""

    def __init__(self, appliance: Contained) -> None:
        self.platform = appliance.platform
        self.owner = appliance.container
        self.standby = start_beside(appliance)
        wait_until(lambda: postmasters(self.standby), "the new one owns", 60)
        wait_until(lambda: up(self.standby), "it is up", 60)
        # A container that was started again does not request the database.
        self.standby.restart()
        wait_until(lambda: postmasters(self.owner), "the old one owns", 60)
        wait_until(lambda: up(self.standby), "the new one is up again", 60)
        self.books = Books(appliance)
        appliance.sql("CREATE TABLE held ()")

    def back_up(self, path: Path) -> None:
        """The platform takes the newest container: the standby."""
        self.platform.backup(self.books.appliance.app, path)


@pytest.fixture(scope="module")
def pair(platform: Platform, engine: Engine) -> Iterator[Pair]:
    """For tests that leave it as they found it, but for the last."""
    app = Application(f"pair-{secrets.token_hex(3)}", engine.image)
    try:
        platform.deploy(app)
        yield Pair(Contained(platform, app))
    finally:
        platform.remove(app)


@pytest.fixture(scope="module")
def books(shared: Contained) -> Books:
    """One appliance for the tests that leave it as they found it."""
    shared.sql("CREATE TABLE held ()")
    return Books(shared)


def test_a_hardlink_in_the_storage_breaks_the_restore(books: Books, tmp_path: Path) -> None:
    container, platform = books.appliance.container, books.appliance.platform
    link = "touch /storage/one && ln /storage/one /storage/two"
    assert execute(container, "sh", "-c", link).code == 0
    try:
        platform.backup(books.appliance.app, tmp_path / "backup")
    finally:
        assert execute(container, "rm", "/storage/one", "/storage/two").code == 0
    with pytest.raises(APIError):
        platform.restore(tmp_path / "backup")


def test_of_two_hooks_at_once_one_succeeds_and_the_other_says_why_it_fails(books: Books) -> None:
    with dump_that_waits(books.appliance) as outcome:
        second = pre_backup(books.appliance.container)
        assert second.code == 1
        assert "Another pre-backup hook is running on this storage." in second.stderr
        books.record()
    assert outcome().code == 0


def test_the_restore_hook_refuses_a_storage_whose_database_runs(books: Books) -> None:
    before = books.record()
    refused = execute(books.appliance.container, POST_RESTORE)
    assert refused.code == 4
    assert "is running" in refused.stderr
    books.check(books.appliance, before)


def test_a_hook_in_a_standby_dumps_the_database_of_the_owner(pair: Pair, tmp_path: Path) -> None:
    before = pair.books.record()
    pair.back_up(tmp_path / "backup")
    with restored(pair.platform, tmp_path / "backup") as appliance:
        pair.books.check(appliance, before, exactly=True)
        assert source(appliance) == "dump"


def test_a_standby_without_its_hook_is_the_wrong_one_to_pause_and_is_refused(
    pair: Pair, tmp_path: Path
) -> None:
    with missing(pair.standby), pair.books.being_written():
        pair.back_up(tmp_path / "torn")
    assert COPIED_LIVE in refusal(pair.platform, tmp_path / "torn")


def test_a_hook_that_fails_in_a_standby_has_the_wrong_container_paused_and_is_refused(
    pair: Pair, tmp_path: Path
) -> None:
    with another_program(pair.standby, "pg_dump", "exit 1"), pair.books.being_written():
        pair.back_up(tmp_path / "torn")
    assert NOT_THE_OWNER in refusal(pair.platform, tmp_path / "torn")


def test_the_death_of_the_owner_during_the_hook_costs_a_clear_failure_at_most(
    pair: Pair, tmp_path: Path
) -> None:
    before = pair.books.record()
    with dump_that_waits(pair.books.appliance) as outcome:
        pair.owner.kill()
    if (failed := outcome()).code != 0:
        assert failed.code in {ExitCode.FAILURE, ExitCode.DATABASE}
        assert "Traceback" not in failed.stderr
    wait_until(lambda: up(pair.standby), "the standby serves", 60)
    pair.back_up(tmp_path / "backup")
    with restored(pair.platform, tmp_path / "backup") as appliance:
        pair.books.check(appliance, before, exactly=True)


def test_a_handoff_in_the_middle_of_a_hook_that_fails_costs_this_backup_and_not_the_next(
    deploy: Deploy, tmp_path: Path
) -> None:
    books = Books(deploy())
    back_up = partial(books.appliance.platform.backup, books.appliance.app)
    owner = books.appliance.container
    fails_later = "until [ -e /moved ]; do sleep 0.1; done; exit 1"
    with another_program(owner, "pg_dump", fails_later), ThreadPoolExecutor(1) as pool:
        backup = pool.submit(back_up, tmp_path / "torn")
        wait_until_inside(owner, "/bin/sh /opt/appliance/postgresql/bin/pg_dump")
        new = start_beside(books.appliance)
        wait_until(lambda: postmasters(new) and up(new), "the new one owns", 60)
        assert execute(owner, "touch", "/moved").code == 0
        backup.result()
    before = books.record()
    # What was paused is not what wrote.
    assert NOT_THE_OWNER in refusal(books.appliance.platform, tmp_path / "torn")
    back_up(tmp_path / "next")
    with restored(books.appliance.platform, tmp_path / "next") as appliance:
        books.check(appliance, before, exactly=True)
        assert source(appliance) == "dump"


def test_a_disk_that_gets_full_fails_the_hook_and_not_the_appliance(
    platform: Platform, engine: Engine
) -> None:
    app = Application(f"full-{secrets.token_hex(3)}", engine.image)
    new_volume(platform.client, Volume(platform.volume_name(app), Secrets.generate()), "400m")
    try:
        platform.deploy(app)
        books = Books(Contained(platform, app))
        books.appliance.sql("CREATE TABLE held ()")
        container = books.appliance.container
        assert pre_backup(container).code == 0
        with dump_that_waits(books.appliance) as outcome:
            assert execute(container, "sh", "-c", FILL).code == 0
            failures = [outcome(), pre_backup(container)]
        for failed in failures:
            assert failed.code == 1
            assert NO_ROOM in failed.stderr
            assert "has too little room" in failed.stderr
        left = execute(container, "find", "/storage/backups", "-name", "manifest.json")
        assert left.stdout == ""
        assert ".staging" not in execute(container, "ls", "-A", "/storage/backups").stdout
        books.record()
        assert execute(container, "rm", "/storage/filling").code == 0
        assert pre_backup(container).code == 0
    finally:
        platform.remove(app)


@contextmanager
def dump_that_waits(
    appliance: Contained, work: Callable[[], Any] | None = None
) -> Iterator[Callable[[], Any]]:
    """A hook that has come to its dump, which waits while the block lasts for a locked table.

    `work` runs the hook, in the newest container by default. Yields what waits for its outcome.
    """
    lock = "BEGIN; LOCK TABLE held; SELECT pg_sleep(600)"
    command = ["appliance", "psql", "--role", "postgres", "-c", lock]
    appliance.container.exec_run(command, detach=True)
    held = "SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted"
    wait_until(lambda: appliance.sql(held) == "1", "the table is locked")
    with ThreadPoolExecutor(1) as pool:
        hook = pool.submit(work or partial(pre_backup, appliance.container))
        try:
            wait_until(lambda: appliance.sql(DUMPS_THAT_WAIT) == "1", "the dump waits")
            yield hook.result
        finally:
            release(appliance)


def release(appliance: Contained) -> None:
    """End the session that holds the table, if it is still there."""
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE '%LOCK TABLE held%' AND pid <> pg_backend_pid()"
    )
    execute(appliance.container, "appliance", "psql", "--role", "postgres", "-c", end)
