"""The audit: one line for each thing done, whatever is in it, and nothing ever taken back."""

import json
import os
import re
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups import audit
from appliance.backups.backup_errors import BackupError
from appliance.storage.paths import Storage
from appliance.system.system_users import SystemUser, detect
from tests.harness.examples import tries
from tests.harness.requirements import needs_root

ACTOR = "command line (user root)"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with the folder of its audit."""
    (tmp_path / "run").mkdir()
    return Storage(tmp_path)


def test_what_was_done_is_added(storage: Storage) -> None:
    audit.record(storage, "create", ACTOR, name="nightly", ok=True, destinations=["local"])
    audit.record(storage, "drill", "schedule", name="nightly", ok=False, message="no room")
    first, second = storage.backup_audit.read_text().splitlines()
    entry = json.loads(first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.pop("at"))
    assert entry == {
        "action": "create",
        "actor": ACTOR,
        "name": "nightly",
        "ok": True,
        "destinations": ["local"],
    }
    assert json.loads(second)["message"] == "no room"
    assert stat.S_IMODE(storage.backup_audit.stat().st_mode) == 0o640


def test_its_mode_does_not_depend_on_who_came_first(storage: Storage) -> None:
    before = os.umask(0o077)
    try:
        audit.record(storage, "create", ACTOR)
    finally:
        os.umask(before)
    assert stat.S_IMODE(storage.backup_audit.stat().st_mode) == 0o640


@needs_root
def test_root_leaves_it_to_the_user_who_adds_to_it_later(storage: Storage) -> None:
    user: SystemUser = detect().database
    os.chown(storage.run, user.uid, user.gid)
    audit.record(storage, "create", ACTOR)
    status = storage.backup_audit.stat()
    assert (status.st_uid, status.st_gid) == (user.uid, user.gid)


@tries(200)
@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=3))
def test_no_text_forges_a_line(entries: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
        storage = Storage(Path(folder))
        storage.run.mkdir()
        for actor, message in entries:
            audit.record(storage, "delete", actor, message=message)
        content = storage.backup_audit.read_bytes()
        assert content.count(b"\n") == len(entries)
        assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in content)
        found = [(entry["actor"], entry["message"]) for entry in audit.tail(storage, 9)]
    assert found == entries


def test_many_add_to_it_at_once(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(80):
            pool.submit(audit.record, storage, "verify", ACTOR, number=number, message="x" * 999)
    numbers = {entry["number"] for entry in audit.tail(storage, 1000)}
    assert numbers == set(range(80))


def test_a_torn_line_is_left_out_and_does_not_spoil_the_next(storage: Storage) -> None:
    audit.record(storage, "create", ACTOR, name="one")
    audit.record(storage, "create", ACTOR, name="two")
    whole = storage.backup_audit.read_bytes()
    for cut in range(len(whole) // 2 + 1, len(whole) - 1):
        storage.backup_audit.write_bytes(whole[:cut])
        assert names(storage) == ["one"]
        audit.record(storage, "create", ACTOR, name="three")
        assert names(storage) == ["one", "three"]
        assert storage.backup_audit.read_bytes().startswith(whole[:cut])


@pytest.mark.parametrize("damage", [b"\0\0\0\0", b"5\n", b"\xff\xfe\n", b"\n", b"[" * 100_000])
def test_what_is_no_entry_is_left_out(damage: bytes, storage: Storage) -> None:
    storage.backup_audit.write_bytes(damage)
    audit.record(storage, "create", ACTOR, name="one")
    assert names(storage) == ["one"]


def test_the_last_ones_are_shown(storage: Storage) -> None:
    assert audit.tail(storage, 5) == []
    for number in range(5):
        audit.record(storage, "create", ACTOR, name=str(number))
    assert names(storage, 2) == ["3", "4"]
    assert names(storage, 0) == names(storage, -1) == []


@pytest.mark.parametrize("what", ["link", "folder", "hard link", "pipe"])
def test_nothing_but_a_plain_file_is_written(what: str, storage: Storage) -> None:
    other = storage.root / "other"
    other.touch()
    if what == "link":
        storage.backup_audit.symlink_to(other)
    elif what == "folder":
        storage.backup_audit.mkdir()
    elif what == "pipe":
        os.mkfifo(storage.backup_audit)
    else:
        os.link(other, storage.backup_audit)
    with pytest.raises(BackupError, match="cannot be written") as caught:
        audit.record(storage, "delete", ACTOR, name="nightly")
    assert "plain file" in caught.value.hint
    assert other.read_bytes() == b""


def test_what_may_not_have_reached_the_disk_is_an_error(storage: Storage) -> None:
    full, written = OSError(28, "No space left on device"), os.write
    with (
        mock.patch("os.fsync", side_effect=full),
        pytest.raises(BackupError, match="cannot be written: No space left on device"),
    ):
        audit.record(storage, "delete", ACTOR)
    with (
        mock.patch("os.write", lambda descriptor, content: written(descriptor, content[:5])),
        pytest.raises(BackupError, match="cannot be written: No space left on device"),
    ):
        audit.record(storage, "delete", ACTOR)


def test_one_that_may_not_be_read_is_said_in_words(storage: Storage) -> None:
    storage.backup_audit.mkdir()
    with pytest.raises(BackupError, match="cannot be read"):
        audit.tail(storage, 5)


def names(storage: Storage, count: int = 10) -> list[str]:
    return [entry["name"] for entry in audit.tail(storage, count)]
