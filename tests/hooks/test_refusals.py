"""What post-restore refuses, in words and with everything as it was; and what overrides it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from tests.harness.appliance import Appliance
from tests.hooks.conftest import Copy
from tests.hooks.ledger import Ledger
from tests.hooks.scene import Ran, back_up, books, post_restore, restore
from tests.postgres.fingerprint import fingerprint

Break = Callable[[Storage], object]


def check_refused(storage: Storage, said: str, **variables: str) -> Ran:
    """It is refused with these words, and cluster, dump and marks are as they were."""
    kept = [storage.pgdata, storage.backups]
    before = [fingerprint(path) if path.exists() else "" for path in kept]
    before_marks = sorted(path.name for path in storage.run.glob("*.json"))
    refused = post_restore(storage, **variables)
    assert refused.code in {1, 3, 4}, refused
    assert said in refused.error
    assert "Traceback" not in refused.error
    assert [fingerprint(path) if path.exists() else "" for path in kept] == before
    assert sorted(path.name for path in storage.run.glob("*.json")) == before_marks
    assert not storage.pgdata_new.exists()
    return refused


def test_a_storage_in_use(running: Appliance, ledger: Ledger) -> None:
    back_up(running.storage)
    master = running.postmaster()
    refused = post_restore(running.storage)
    assert refused.code == 4
    assert "is running: a restore by the hook is for a storage where nothing runs" in refused.error
    assert running.postmaster() == master
    assert copy_detection.is_open(running.storage)
    assert not running.storage.restoring.exists()
    ledger.record(1)


def test_an_empty_storage(storage_folder: Path) -> None:
    storage = Storage(storage_folder)
    refused = post_restore(storage)
    assert refused.code == 1
    assert "There is nothing to restore" in refused.error
    assert not storage.pgdata.exists()


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (2, "has format 2; this version reads format 1"),
        (0, "cannot be read"),
        ("1", "cannot be read"),
    ],
)
def test_a_manifest_of_another_format(live_copy: Copy, number: object, fault: str) -> None:
    path = copy_detection.manifest_path(live_copy.storage)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))
    check_refused(live_copy.storage, fault)


def empty_manifest(storage: Storage) -> None:
    copy_detection.manifest_path(storage).write_text("")


def file_altered(storage: Storage) -> None:
    biggest = max(storage.hook_backup.rglob("*.dat.zst"), key=lambda path: path.stat().st_size)
    content = bytearray(biggest.read_bytes())
    content[len(content) // 2] ^= 1
    biggest.write_bytes(content)


def file_missing(storage: Storage) -> None:
    (storage.hook_backup / "roles.sql").unlink()


@pytest.mark.parametrize("break_it", [empty_manifest, file_altered, file_missing])
def test_a_damaged_dump_beside_a_torn_cluster(live_copy: Copy, break_it: Break) -> None:
    break_it(live_copy.storage)
    check_refused(live_copy.storage, "It cannot be restored, and the cluster beside it")


def test_a_database_that_is_not_in_the_dump(live_copy: Copy) -> None:
    said = "has no database other; it has appliance, postgres"
    check_refused(live_copy.storage, said, RESTORE_DB="other")
    assert restore(live_copy.storage) == "dump"
    assert books(live_copy.storage) == live_copy.expected


def test_a_database_that_is_not_in_the_cluster(paused_copy: Copy) -> None:
    refused = post_restore(paused_copy.storage, RESTORE_DB="other")
    assert refused.code == 1
    assert "The cluster has no database other; it has appliance, postgres" in refused.error
    assert restore(paused_copy.storage) == "pgdata"
    assert books(paused_copy.storage) == paused_copy.expected


def test_another_choice_than_the_two(live_copy: Copy) -> None:
    check_refused(live_copy.storage, "RESTORE_FROM", RESTORE_FROM="both")


def test_a_dump_that_is_asked_for_and_is_not_there(paused_copy: Copy) -> None:
    shutil.rmtree(paused_copy.storage.hook_backup, ignore_errors=True)
    refused = check_refused(paused_copy.storage, "", RESTORE_FROM="dump")
    assert "Run it as root" not in refused.error, "that would not help"


def test_a_cluster_that_is_asked_for_and_is_not_there(live_copy: Copy) -> None:
    shutil.rmtree(live_copy.storage.pgdata)
    refused = check_refused(live_copy.storage, "", RESTORE_FROM="pgdata")
    assert "is not empty" not in refused.error, "there is nothing at all"


def test_against_the_evidence_the_cluster_may_be_chosen(live_copy: Copy) -> None:
    # Nothing was written during this very copy, so its cluster is whole, and newer.
    assert restore(live_copy.storage, RESTORE_FROM="pgdata") == "pgdata"
    assert books(live_copy.storage) > live_copy.expected


def test_against_the_evidence_an_older_dump_may_be_chosen(live_copy: Copy) -> None:
    copy_detection.close_window(live_copy.storage)
    assert restore(live_copy.storage, RESTORE_FROM="dump") == "dump"
    assert books(live_copy.storage) == live_copy.expected


def test_an_older_dump_that_is_chosen_and_damaged_claims_nothing_afterwards(
    live_copy: Copy,
) -> None:
    storage = live_copy.storage
    copy_detection.close_window(storage)
    file_missing(storage)
    check_refused(storage, "roles.sql is missing", RESTORE_FROM="dump")
    assert not copy_detection.is_open(storage)
    check_refused(storage, "it was copied while its database ran")


def test_leftovers_of_earlier_tries_are_no_hindrance(live_copy: Copy) -> None:
    storage = live_copy.storage
    for leftover in (storage.pgdata_new, storage.pgdata_replaced):
        (leftover / "base").mkdir(parents=True, mode=0o700)
        (leftover / "PG_VERSION").write_text("16\n")
    assert restore(storage) == "dump"
    assert books(storage) == live_copy.expected
    assert not storage.pgdata_new.exists()
    assert not storage.pgdata_replaced.exists()


def test_a_path_with_a_space(live_copy: Copy, storage_folder: Path) -> None:
    moved = Storage(storage_folder.with_name("a 'quoted' path"))
    shutil.move(live_copy.storage.root, moved.root)
    try:
        assert restore(moved) == "dump"
        assert books(moved) == live_copy.expected
    finally:
        shutil.move(moved.root, live_copy.storage.root)
