"""Which state is the newest consistent one: every combination of evidence that can occur."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.backups.format import manifest
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import Manifest
from appliance.backups.platform import choose_source
from appliance.backups.platform.choose_source import RestoreSource, StorageState, choose
from appliance.errors import ApplianceError
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from appliance.system.files import write_json

NOTHING = StorageState(
    window=False,
    late_mark=False,
    fault=None,
    cluster=False,
    restoring=False,
    failed_elsewhere=False,
    one_generation=True,
)
FACTS = ("late_mark", "cluster", "restoring", "failed_elsewhere", "one_generation")


def found(**facts: Any) -> StorageState:
    return replace(NOTHING, **facts)


@pytest.mark.parametrize(
    ("facts", "choice"),
    [
        pytest.param(
            found(window=True, late_mark=True, cluster=True),
            RestoreSource.DUMP,
            id="a copy after a hook",
        ),
        pytest.param(
            found(window=True, cluster=True),
            RestoreSource.DUMP,
            id="its last mark went during the copy",
        ),
        pytest.param(
            found(window=True, late_mark=True),
            RestoreSource.DUMP,
            id="a restore of it was killed between its two renames",
        ),
        pytest.param(
            found(window=True, late_mark=True, cluster=True, restoring=True),
            RestoreSource.DUMP,
            id="a restore of it was killed while it loaded",
        ),
        pytest.param(
            found(window=True, late_mark=True, cluster=True, failed_elsewhere=True),
            RestoreSource.DUMP,
            id="a hook failed before the one that worked",
        ),
        pytest.param(
            found(cluster=True),
            RestoreSource.CLUSTER,
            id="a copy that stood still, with or without a dump",
        ),
    ],
)
def test_it_is_restored_from(facts: StorageState, choice: RestoreSource) -> None:
    assert choose(facts) is choice


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param(NOTHING, "There is nothing to restore", id="an empty storage"),
        pytest.param(
            found(restoring=True),
            "There is nothing to restore",
            id="a dump that was removed by hand",
        ),
        pytest.param(
            found(window=True, late_mark=True, fault="It is damaged.", cluster=True),
            "It is damaged. It cannot be restored, and the cluster beside it was copied while",
            id="a damaged dump beside a torn cluster",
        ),
        pytest.param(
            found(late_mark=True, cluster=True),
            "it was copied while a pre-backup hook was finishing",
            id="a copy that began before a hook had ended",
        ),
        pytest.param(
            found(cluster=True, one_generation=False),
            "it was copied while its database ran",
            id="a copy that was made live and without a hook",
        ),
        pytest.param(
            found(cluster=True, restoring=True),
            "a restore of it was broken off",
            id="a restore whose dump was removed",
        ),
        pytest.param(
            found(cluster=True, failed_elsewhere=True),
            "its hook failed in a container that did not own the database",
            id="a paused standby whose owner went on",
        ),
    ],
)
def test_it_is_refused(facts: StorageState, reason: str) -> None:
    with pytest.raises(ApplianceError, match=reason):
        choose(facts)


def test_of_all_combinations_the_cluster_is_used_only_if_nothing_at_all_speaks_against_it() -> None:
    used = [
        facts
        for values in itertools.product((False, True), repeat=len(FACTS))
        for window, fault in ((False, None), (True, None), (True, "It is damaged."))
        if _chosen(
            facts := found(window=window, fault=fault, **dict(zip(FACTS, values, strict=True)))
        )
        is RestoreSource.CLUSTER
    ]
    assert used == [found(cluster=True)]


def test_of_all_combinations_the_dump_is_used_whenever_its_claim_stands_and_it_is_whole() -> None:
    for values in itertools.product((False, True), repeat=len(FACTS)):
        facts = dict(zip(FACTS, values, strict=True))
        assert _chosen(found(window=True, **facts)) is RestoreSource.DUMP
        assert _chosen(found(window=False, **facts)) is not RestoreSource.DUMP
        assert _chosen(found(window=True, fault="It is damaged.", **facts)) is None


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with a cluster's first file, and a dump without its manifest."""
    storage = Storage(tmp_path)
    for path in (storage.pgdata, storage.run, storage.hook_backup):
        path.mkdir(parents=True)
    (storage.pgdata / "PG_VERSION").write_text("16\n")
    (storage.hook_backup / "roles.sql").write_text("-- roles\n")
    return storage


def test_a_storage_that_stood_still_shows_its_cluster_only(storage: Storage) -> None:
    (storage.hook_backup / copy_detection.CLOSED).write_text("older")
    assert choose_source.inspect(storage) == found(cluster=True)


def test_a_copy_made_in_the_window_shows_both_marks(storage: Storage) -> None:
    open_window(storage)
    assert choose_source.inspect(storage) == found(window=True, late_mark=True, cluster=True)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("-- rules\n", "roles.sql was altered"),
        ("-- roles", "roles.sql has 8 bytes, not 9"),
        (None, "roles.sql is missing"),
    ],
)
def test_every_file_of_the_dump_is_compared(
    storage: Storage, content: str | None, fault: str
) -> None:
    open_window(storage)
    path = storage.hook_backup / "roles.sql"
    path.unlink() if content is None else path.write_text(content)
    assert fault in str(choose_source.inspect(storage).fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        ("{}", "cannot be read"),
        ("\0" * 100, "cannot be read"),
        ('{"format": 1}', "cannot be read"),
        ('{"format": 0}', "cannot be read"),
        ('{"format": 2, "shards": []}', "has format 2; this version reads format 1"),
    ],
)
def test_a_manifest_of_another_format_or_none_at_all_is_a_fault_and_no_absence(
    storage: Storage, text: str, fault: str
) -> None:
    open_window(storage)
    copy_detection.manifest_path(storage).write_text(text)
    shown = choose_source.inspect(storage)
    assert shown.window
    assert fault in str(shown.fault)


@pytest.mark.parametrize(
    ("owner", "noted", "failed"),
    [
        ('{"instance": "one"}', '{"owner": "one"}', True),
        ('{"instance": "two"}', '{"owner": "one"}', False),
        ('{"instance": "one"}', None, False),
        (None, '{"owner": "one"}', False),
        ('{"instance": "one"}', "", False),
        ("[]", '{"owner": "one"}', False),
    ],
)
def test_a_hook_that_failed_elsewhere_counts_while_the_same_owner_goes_on(
    storage: Storage, owner: str | None, noted: str | None, failed: bool
) -> None:
    for path, text in ((storage.owner, owner), (storage.hook_failure, noted)):
        if text is not None:
            path.write_text(text)
    assert choose_source.inspect(storage) == found(cluster=True, failed_elsewhere=failed)


def test_a_restore_that_was_broken_off_between_its_renames_shows_no_cluster(
    storage: Storage,
) -> None:
    open_window(storage)
    write_json(storage.restoring, {"format": 1})
    shutil.move(storage.pgdata, storage.pgdata_replaced)
    assert choose_source.inspect(storage) == found(window=True, late_mark=True, restoring=True)


def open_window(storage: Storage) -> None:
    """What a hook leaves that worked, with one file in its dump."""
    copy_detection.open_window(storage, "one")
    file = manifest.describe(storage.hook_backup / "roles.sql", storage.hook_backup)
    when = "2026-11-21T10:00:00.000Z"
    made = Manifest(
        name=BackupName("20261121-100000"),
        created_at=when,
        finished_at=when,
        appliance_version="1",
        postgres_version="16",
        system_identifier="1",
        schema={},
        encrypted=False,
        recipients=(),
        identity_file=None,
        roles="roles.sql",
        files=(file,),
        databases=(),
    )
    manifest.write(made, storage.hook_backup)
    assert json.loads(copy_detection.manifest_path(storage).read_text())["format"] == 1


def _chosen(facts: StorageState) -> RestoreSource | None:
    try:
        return choose(facts)
    except ApplianceError:
        return None
