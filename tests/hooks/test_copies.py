"""Copies as the platform makes them, restored: never stale, never torn."""

import time
from pathlib import Path

import pytest

from appliance.backups.format import manifest
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from tests.handoff.scene import paused
from tests.harness.appliance import Appliance, ending
from tests.harness.nightly import most_at_night
from tests.harness.waiting import wait_until
from tests.hooks.conftest import Copy
from tests.hooks.copying import copy
from tests.hooks.ledger import Ledger
from tests.hooks.scene import back_up, books, fail, post_restore, refusal, restore

TORN = "copy that was made while its database ran, so its cluster is torn"
# From as fast as it goes to a whole second for the files that change most.
DELAYS_S = (0.0, 0.0001, 0.0003, 0.0006, 0.001, 0.0013, 0.0016, 0.002)


def live_copy_without_a_hook(storage: Storage, target: Path) -> Storage:
    """A copy of a running database, which the owner's agent sees before it is over."""
    before = storage.generation_last.read_text()

    def wait_until_seen(path: Path) -> None:
        if path == storage.pgdata:
            wait_until(lambda: storage.generation_last.read_text() != before, "it was seen")

    return Storage(copy(storage.root, target, wait_until_seen))


@pytest.mark.parametrize("delay_s", most_at_night(DELAYS_S, (0.0, 0.0006, 0.002)))
def test_a_live_copy_under_heavy_writes_is_exactly_the_dump(
    running: Appliance, ledger: Ledger, storage_folder: Path, delay_s: float
) -> None:
    with ledger.being_written(checkpoints=True):
        before = ledger.acknowledged()
        back_up(running.storage)
        at_the_end = ledger.acknowledged()
        copied = Storage(copy(running.storage.root, storage_folder, lambda _: time.sleep(delay_s)))
        ledger.wait_for_more()
    described = manifest.read(copied.hook_backup)
    assert restore(copied) == "dump"
    restored = books(copied)
    assert before <= restored
    # Of each client the last one may be in it that was not acknowledged yet.
    assert len(restored - at_the_end) <= 2
    assert len(restored) == described.rows("appliance", "public.transactions")


@pytest.mark.parametrize("_round", most_at_night(range(3), (0,)))
def test_a_paused_copy_under_heavy_writes_has_everything_that_was_acknowledged(
    running: Appliance, ledger: Ledger, storage_folder: Path, _round: int
) -> None:
    with ledger.being_written(checkpoints=True):
        assert fail(running).code != 0
        ledger.wait_for_more()
        with paused(running):
            before = ledger.acknowledged()
            copied = Storage(copy(running.storage.root, storage_folder))
        ledger.wait_for_more()
    assert restore(copied) == "pgdata"
    restored = books(copied)
    assert before <= restored
    assert len(restored - before) <= 2


def test_a_live_copy_does_not_start_before_post_restore_and_starts_after_it(
    live_copy: Copy,
) -> None:
    for _ in ("first", "again, as the platform restarts what ends"):
        with ending(Appliance(live_copy.storage.root)) as early:
            assert early.start().wait() == 4, "a torn cluster was started"
            assert TORN in early.log
            assert "Run /hooks/post-restore on it first" in early.log
    assert restore(live_copy.storage) == "dump"
    with ending(Appliance(live_copy.storage.root)) as late:
        late.start().wait_until_up()
        balance = late.call("GET", "/api/trial-balance").json()
        assert balance["balanced"] is True
        assert balance["totals"]
        with late.connect() as connection:
            rows = connection.execute("SELECT id FROM transactions").fetchall()
        assert {row[0] for row in rows} == live_copy.expected
        assert late.stop() == 0


def test_a_live_copy_without_a_hook_is_refused_and_can_be_forced(
    running: Appliance, ledger: Ledger, storage_folder: Path
) -> None:
    assert fail(running).code != 0
    with ledger.being_written():
        copied = live_copy_without_a_hook(running.storage, storage_folder)
    assert TORN in refusal(copied)
    refused = post_restore(copied)
    assert refused.code != 0
    assert "the cluster cannot be trusted: it was copied while its database ran" in refused.error
    assert TORN in refusal(copied), "a hook that refused changes nothing"
    assert restore(copied, RESTORE_FROM="pgdata") == "pgdata"
    assert books(copied)


def test_of_two_containers_the_paused_owner_is_good_and_the_paused_standby_is_not(
    pair: tuple[Appliance, Appliance], storage_folder: Path
) -> None:
    owner, standby = pair
    with paused(standby):
        torn = live_copy_without_a_hook(owner.storage, storage_folder.with_name("torn"))
    assert "it was copied while its database ran" in post_restore(torn).error
    with paused(owner):
        copied = Storage(copy(owner.storage.root, storage_folder.with_name("c")))
    assert restore(copied) == "pgdata"


def test_after_a_copy_of_an_older_dump_a_paused_copy_is_its_cluster(
    running: Appliance, ledger: Ledger, storage_folder: Path
) -> None:
    back_up(running.storage)
    copy(running.storage.root, storage_folder.with_name("first"))
    wait_until(lambda: not copy_detection.is_open(running.storage), "the first copy was seen")
    expected = ledger.record()
    with paused(running):
        # Its hook is missing, or could not even be started.
        copied = Storage(copy(running.storage.root, storage_folder))
    assert restore(copied) == "pgdata"
    assert books(copied) == expected


def test_a_paused_copy_in_the_window_of_a_dump_that_was_never_copied_is_that_dump(
    running: Appliance, ledger: Ledger, storage_folder: Path
) -> None:
    """What the window cannot tell apart; it is bounded by hook_window.LONGEST_S."""
    dumped = ledger.record()
    back_up(running.storage)
    newer = ledger.record()
    with paused(running):
        copied = Storage(copy(running.storage.root, storage_folder))
    assert restore(copied) == "dump"
    assert books(copied) == dumped < newer
    wait_until(lambda: not copy_detection.is_open(running.storage), "that copy was seen")
