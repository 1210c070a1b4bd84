"""The pre-backup hook: what it leaves when it works, and that nothing claims to be when not."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from appliance.backups.format import manifest
from appliance.storage import copy_detection, lock
from appliance.storage.paths import Storage
from tests.harness.appliance import Appliance, ending
from tests.harness.folders import short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.harness.requirements import needs_root
from tests.hooks.copying import copy
from tests.hooks.ledger import Ledger
from tests.hooks.marks import OPEN, SHUT, marks
from tests.hooks.scene import back_up, dump_that_waits, fail, post_restore, pre_backup, python
from tests.postgres.conftest import fill

Failing = Callable[[Appliance], AbstractContextManager[None]]


def test_everything_is_durable_before_the_window_opens(running: Appliance, ledger: Ledger) -> None:
    storage = running.storage
    traced = python(storage, "altered", "traced")
    assert traced.code == 0, traced.error
    done = traced.output.splitlines()
    opened = done.index(f"rename {copy_detection.manifest_path(storage)}")
    before, placed = done[:opened], done.index(f"rename {storage.hook_backup}")
    for path in (storage.backups, storage.backup_audit, storage.run):
        assert f"fsync {path}" in before[placed:], f"{path} is not on the disk"
    assert "hook-window.json" in before[-3], "the last mark comes last"
    # The databases' own files are synced by pg_dump; of the rest each one is by us.
    staged = [line for line in done[:placed] if line.startswith("fsync ")]
    for name in (".staging-hook", "databases", "roles.sql"):
        assert any(line.endswith(f"/{name}") for line in staged), f"{name} is not on the disk"
    assert f"fsync {storage.hook_backup}" in done[opened:]
    described = manifest.read(storage.hook_backup)
    manifest.check_files(described, storage.hook_backup)


def test_all_of_it_belongs_to_the_databases_user_and_is_closed_to_others(
    running: Appliance, ledger: Ledger
) -> None:
    back_up(running.storage)
    owner = running.storage.pgdata.stat().st_uid
    for path in (running.storage.hook_backup, *running.storage.hook_backup.rglob("*")):
        status = path.lstat()
        assert status.st_uid == owner, path
        assert not status.st_mode & 0o007, path
        assert path.is_dir() or status.st_nlink == 1, path
    hidden = {path.name for path in running.storage.backups.glob(".*")}
    assert hidden == {".hook", ".generation"}


@contextmanager
def pg_dump_is_killed(running: Appliance) -> Iterator[None]:
    failed = fail(running)
    assert failed.code == 1
    assert "pg_dump failed by signal 9" in failed.error
    yield


@contextmanager
def the_hook_is_killed(running: Appliance) -> Iterator[None]:
    with dump_that_waits(running) as hook:
        hook.kill_everything()
    yield


@contextmanager
def the_database_is_away(running: Appliance) -> Iterator[None]:
    socket = running.storage.socket
    away = socket.rename(socket.with_name("away"))
    try:
        failed = pre_backup(running.storage)
        assert failed.code != 0
        assert "Traceback" not in failed.error
        assert failed.error.startswith("appliance: ")
        yield
    finally:
        away.rename(socket)


@contextmanager
def others_do_not_end(running: Appliance) -> Iterator[None]:
    with lock.holding(running.storage.backup_lock) as ours:
        assert ours
        failed = python(running.storage, "altered", "impatient")
    assert failed.code == 1
    assert "Another one is at work on the backups of this storage" in failed.error
    yield


@pytest.mark.parametrize(
    "failing", [pg_dump_is_killed, the_hook_is_killed, the_database_is_away, others_do_not_end]
)
def test_after_a_hook_that_failed_nothing_claims_to_be_current(
    running: Appliance, ledger: Ledger, failing: Failing
) -> None:
    back_up(running.storage)
    assert marks(running.storage) == OPEN
    with failing(running):
        assert set(marks(running.storage)) <= set(SHUT)
        assert not running.storage.hook_failure.exists(), "here is the owner: a pause stops it"
    back_up(running.storage)


def test_the_old_claim_is_gone_before_the_new_dump_begins(
    running: Appliance, ledger: Ledger
) -> None:
    back_up(running.storage)
    with dump_that_waits(running) as hook:
        assert marks(running.storage) == []
        assert hook.process.poll() is None


def test_of_two_hooks_at_once_the_second_fails_and_does_the_first_no_harm(
    running: Appliance, ledger: Ledger
) -> None:
    with dump_that_waits(running) as first:
        second = pre_backup(running.storage)
        assert second.code == 1
        assert "Another pre-backup hook is running on this storage" in second.error
        with running.connect("postgres") as connection:
            connection.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l "
                "WHERE relation = 'wear'::regclass AND mode = 'AccessExclusiveLock'"
            )
        ended = first.end()
        assert ended.code == 0, ended.error
    assert marks(running.storage) == OPEN


@needs_root
def test_a_disk_that_is_too_full_fails_it_and_the_database_goes_on() -> None:
    with small_disk("700m") as folder, ending(PostgresProgram(folder / "s")) as program:
        program.start().wait_until_serving().migrate()
        back_up(program.storage)
        fill(folder, 100 << 20)
        failed = pre_backup(program.storage)
        assert failed.code == 1
        assert "has too little room" in failed.error
        assert marks(program.storage) == []
        assert program.serves()
        (folder / "ballast").unlink()
        back_up(program.storage)


@needs_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_hook_that_fails_beside_an_owner_that_goes_on_leaves_nothing_to_restore(
    storage_folder: Path,
) -> None:
    owner = Appliance(storage_folder)
    renamed = 'hostname the-owner; exec "$0" "$@"'
    owner.command = ("unshare", "--uts", "sh", "-c", renamed, *Appliance.command)
    with ending(owner):
        owner.start().wait_until_up()
        Ledger(owner)
        back_up(owner.storage)
        assert fail(owner).code == 1
        assert owner.storage.hook_failure.exists()
        # The container where the hook failed stands still; the owner is another one.
        copied = Storage(copy(owner.storage.root, storage_folder.with_name("c")))
        refused = post_restore(copied)
        assert refused.code == 1
        assert "its hook failed in a container that did not own the database" in refused.error
        back_up(owner.storage)
        assert not owner.storage.hook_failure.exists()
        with dump_that_waits(owner) as hook:
            hook.kill_everything()
        assert owner.storage.hook_failure.exists(), "it has no time to say so when it is killed"


def test_the_database_moves_in_the_middle_of_the_hook_and_it_dumps_again(
    pair: tuple[Appliance, Appliance],
) -> None:
    owner, standby = pair
    ledger = Ledger(standby)
    expected = ledger.record()
    with dump_that_waits(standby) as hook:
        owner.kill_everything()
        ended = hook.end()
    assert ended.code == 0, f"{ended.error}\n{standby.log}"
    described = manifest.read(standby.storage.hook_backup)
    assert described.rows("appliance", "public.transactions") == len(expected)
    assert standby.postmaster()


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    with short_folder() as folder:
        options = ["-t", "tmpfs", "-o", f"size={size},mode=0755", "none", str(folder)]
        subprocess.run(["mount", *options], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
