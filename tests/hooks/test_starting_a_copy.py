"""A copy that was made while its database ran is not started; everything else is."""

import shutil
from pathlib import Path

import pytest

from appliance.backups.platform.choose_source import choose, inspect
from appliance.errors import ApplianceError, StorageError
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from tests.hooks.copying import copy
from tests.hooks.marks import OPEN, bare_storage, marks, open_window


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with what the window needs, and no Postgres."""
    return bare_storage(tmp_path / "s")


def test_the_original_may_be_started_whatever_the_window(storage: Storage) -> None:
    copy_detection.check_no_copy(storage)
    open_window(storage)
    copy_detection.check_no_copy(storage)
    copy_detection.close_window(storage)
    copy_detection.check_no_copy(storage)


def test_a_copy_may_be_started_only_if_it_was_made_outside_of_the_window(
    storage: Storage, tmp_path: Path
) -> None:
    open_window(storage)
    torn = Storage(copy(storage.root, tmp_path / "torn"))
    with pytest.raises(StorageError, match="is a copy that was made while its database ran"):
        copy_detection.check_no_copy(torn)
    copy_detection.close_window(storage)
    copy_detection.check_no_copy(Storage(copy(storage.root, tmp_path / "whole")))


def test_a_copy_whose_last_mark_went_during_the_copy_may_not_be_started(
    storage: Storage, tmp_path: Path
) -> None:
    open_window(storage)

    def close_early(path: Path) -> None:
        if path == storage.pgdata:
            copy_detection.close_window(storage)

    torn = Storage(copy(storage.root, tmp_path / "torn", close_early))
    assert marks(torn) == OPEN[:1]
    with pytest.raises(StorageError, match="is a copy that was made while its database ran"):
        copy_detection.check_no_copy(torn)


def test_the_end_of_a_container_that_refused_a_copy_leaves_its_window_as_it_is(
    storage: Storage, tmp_path: Path
) -> None:
    open_window(storage)
    torn = Storage(copy(storage.root, tmp_path / "torn"))
    copy_detection.close_window_if_stopped(torn)
    assert marks(torn) == OPEN, "else it would be started the next time"


def test_a_copy_during_which_another_hook_begins_is_not_taken_for_one_that_stood_still(
    storage: Storage, tmp_path: Path
) -> None:
    open_window(storage)

    def begin_another(path: Path) -> None:
        if path == copy_detection.manifest_path(storage):
            copy_detection.begin(storage)
            shutil.rmtree(storage.hook_backup)

    torn = Storage(copy(storage.root, tmp_path / "torn", begin_another))
    with pytest.raises(ApplianceError):
        choose(inspect(torn))
