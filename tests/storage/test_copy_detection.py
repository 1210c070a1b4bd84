"""The marks by which a copy of a running database is known, hook or not."""

from pathlib import Path

import pytest

from appliance.errors import StorageError
from appliance.storage import copy_detection
from appliance.storage.copy_watch import CopyWatch
from appliance.storage.paths import Storage
from tests.hooks.copying import copy
from tests.hooks.marks import open_window


def test_a_copy_that_begins_is_told_and_who_looks_at_the_rest_is_not(
    storage: Storage, tmp_path: Path
) -> None:
    copy_detection.renew_generation(storage)
    watch = CopyWatch(storage)
    copy_detection.renew_generation(storage)
    open_window(storage)
    copy_detection.manifest_path(storage).read_bytes()
    storage.hook_window.read_bytes()
    storage.generation_last.read_text()
    list(storage.backups.rglob("*"))
    assert not watch.look().begun
    copy(storage.root, tmp_path / "copy")
    assert watch.look().begun
    assert not watch.look().begun


@pytest.mark.parametrize(
    ("place", "whole"),
    [
        pytest.param("backups", True, id="before it"),
        pytest.param("pgdata", False, id="in the middle of it"),
        pytest.param("run/generation.json", False, id="just before its last mark"),
        pytest.param("run/owner.lock", True, id="after its last mark"),
        pytest.param("secrets", True, id="after it"),
    ],
)
def test_a_mark_that_changes_during_a_copy_shows_in_it(
    storage: Storage, tmp_path: Path, place: str, whole: bool
) -> None:
    copy_detection.renew_generation(storage)

    def renew(path: Path) -> None:
        if path == storage.root / place:
            copy_detection.renew_generation(storage)

    copied = Storage(copy(storage.root, tmp_path / "copy", renew))
    assert copy_detection.is_of_one_generation(copied) is whole
    assert copy_detection.is_of_one_generation(storage)
    if whole:
        copy_detection.check_no_copy(copied)
    else:
        with pytest.raises(StorageError, match="is a copy that was made while its database ran"):
            copy_detection.check_no_copy(copied)


@pytest.mark.parametrize("folder", ["run", "backups"])
def test_marks_that_cannot_both_be_written_stay_as_they_are(storage: Storage, folder: str) -> None:
    copy_detection.renew_generation(storage)
    before = storage.generation_first.read_text()
    kept = storage.root / "kept"
    (storage.root / folder).rename(kept)
    with pytest.raises(OSError, match="No such file"):
        copy_detection.renew_generation(storage)
    kept.rename(storage.root / folder)
    assert storage.generation_first.read_text() == storage.generation_last.read_text() == before
    assert not list(storage.root.rglob("*.tmp"))
