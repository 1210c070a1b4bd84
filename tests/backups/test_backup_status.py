"""The notes of the last backup: written whole, read whatever has become of them."""

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups import backup_status
from appliance.backups.backup_status import BackupStatus, LastBackup, LastFailure, Verification
from appliance.storage.paths import Storage
from tests.harness.examples import tries

AT = "2026-11-20T13:00:00Z"
MADE = LastBackup("nightly", AT, 12_345, ("local", "nas"))
VERIFIED = Verification("nightly", AT, ok=True, tables=7, rows=1000, seconds=1.5, message="")
UNVERIFIABLE = replace(VERIFIED, at="2026-11-21T13:00:00Z", ok=False, message="a table is gone")
DOCUMENT: dict[str, Any] = {
    "format": 1,
    "backup": {"name": "a", "at": AT, "size": 1, "destinations": ["local"]},
    "failure": {"at": AT, "message": "no room"},
    "proof": {**vars(VERIFIED)},
    "proven": {**vars(VERIFIED)},
}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with the folder of its notes."""
    (tmp_path / "run").mkdir()
    return Storage(tmp_path)


def test_at_first_nothing_is_known(storage: Storage) -> None:
    assert backup_status.read(storage) == BackupStatus()
    assert set(BackupStatus().to_json(datetime.now(UTC)).values()) == {None}


def test_each_kind_is_noted_beside_the_others(storage: Storage) -> None:
    backup_status.record_backup(storage, MADE)
    backup_status.record_verification(storage, VERIFIED)
    backup_status.record_failure(storage, "no\nroom")
    found = backup_status.read(storage)
    assert (found.backup, found.proof, found.proven) == (MADE, VERIFIED, VERIFIED)
    assert found.failure is not None
    assert found.failure.message == "no\nroom"
    assert datetime.fromisoformat(found.failure.at).tzinfo is UTC
    assert stat.S_IMODE(storage.backup_status.stat().st_mode) == 0o644


def test_a_proof_that_failed_does_not_hide_the_last_one_that_held(storage: Storage) -> None:
    backup_status.record_verification(storage, VERIFIED)
    backup_status.record_verification(storage, UNVERIFIABLE)
    found = backup_status.read(storage)
    assert (found.proof, found.proven) == (UNVERIFIABLE, VERIFIED)


def test_a_failure_is_over_when_a_later_backup_was_made(storage: Storage) -> None:
    backup_status.record_failure(storage, "no room")
    assert not backup_status.read(storage).ok
    backup_status.record_backup(storage, MADE)
    assert backup_status.read(storage) == BackupStatus(backup=MADE)
    assert backup_status.read(storage).ok


def test_a_proof_that_failed_is_over_when_a_later_one_holds(storage: Storage) -> None:
    backup_status.record_verification(storage, UNVERIFIABLE)
    assert not backup_status.read(storage).ok
    backup_status.record_verification(storage, VERIFIED)
    assert backup_status.read(storage).ok


OLDER = replace(MADE, name="older", at="2026-11-19T13:00:00Z")
GONE = replace(VERIFIED, removed=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BackupStatus(backup=MADE), BackupStatus(backup=OLDER)),
        (BackupStatus(backup=OLDER), BackupStatus(backup=OLDER)),
        (
            BackupStatus(failure=LastFailure(AT, "no room")),
            BackupStatus(failure=LastFailure(AT, "no room")),
        ),
        (BackupStatus(proof=UNVERIFIABLE), BackupStatus()),
        (BackupStatus(proof=UNVERIFIABLE, proven=VERIFIED), BackupStatus(proof=GONE, proven=GONE)),
        (BackupStatus(proof=VERIFIED, proven=VERIFIED), BackupStatus(proof=GONE, proven=GONE)),
        (
            BackupStatus(proof=replace(UNVERIFIABLE, name="older"), proven=VERIFIED),
            BackupStatus(proof=replace(UNVERIFIABLE, name="older"), proven=GONE),
        ),
    ],
)
def test_what_is_removed_is_no_trouble_any_more_and_what_it_proved_stays(
    before: BackupStatus, after: BackupStatus
) -> None:
    assert before.without("nightly", OLDER) == after


def test_a_removal_that_no_note_speaks_of_writes_nothing(storage: Storage) -> None:
    backup_status.record_removal(storage, "nightly", OLDER)
    assert not storage.backup_status.exists()
    backup_status.record_backup(storage, MADE)
    backup_status.record_removal(storage, "nightly", None)
    assert backup_status.read(storage) == BackupStatus()


def test_notes_of_a_version_that_knew_no_removal_are_read(storage: Storage) -> None:
    proof = {name: value for name, value in vars(VERIFIED).items() if name != "removed"}
    storage.backup_status.write_text(json.dumps({**DOCUMENT, "proof": proof, "proven": proof}))
    found = backup_status.read(storage)
    assert (found.proof, found.proven) == (VERIFIED, VERIFIED)


def test_programs_are_told_how_old_everything_is() -> None:
    found = BackupStatus(MADE, None, UNVERIFIABLE, VERIFIED)
    told = found.to_json(datetime(2026, 11, 20, 14, 0, 0, 900_000, tzinfo=UTC))
    assert told["last_backup"] == {
        "name": "nightly",
        "at": AT,
        "size": 12_345,
        "destinations": ("local", "nas"),
        "age_s": 3600,
    }
    assert told["last_failure"] is None
    assert (told["last_verified"]["ok"], told["last_verified"]["age_s"]) == (True, 3600)
    # By a clock that was set back it lies ahead.
    assert (told["last_proof"]["ok"], told["last_proof"]["age_s"]) == (False, 0)


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "5", "\0\0", "[" * 100_000, '{"format": 1}', json.dumps({**DOCUMENT, "format": 2})],
)
def test_what_cannot_be_read_is_not_there(damage: str, storage: Storage) -> None:
    storage.backup_status.write_text(damage)
    assert backup_status.read(storage) == BackupStatus()


def test_a_folder_in_its_place_is_no_note_and_is_said_in_the_log(
    storage: Storage, capfd: pytest.CaptureFixture[str]
) -> None:
    storage.backup_status.mkdir()
    assert backup_status.read(storage) == BackupStatus()
    backup_status.record_backup(storage, MADE)
    assert "cannot be written: Is a directory" in capfd.readouterr().out


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
sections = st.sampled_from(["backup", "failure", "proof", "proven"])


@tries(300)
@given(sections, st.data())
def test_damage_to_one_of_them_harms_neither_the_others_nor_the_reader(
    section: str, data: st.DataObject
) -> None:
    entry = dict(DOCUMENT[section])
    wrong = data.draw(st.one_of(anything, st.just(10**400), st.just(float("inf"))))
    entry[data.draw(st.sampled_from(sorted(entry)))] = wrong
    damaged = data.draw(st.sampled_from([entry, wrong]))
    text = json.dumps({**DOCUMENT, section: damaged})
    with mock.patch("pathlib.Path.read_text", return_value=text):
        found = backup_status.read(Storage(Path("/nowhere")))
    told = json.dumps(found.to_json(datetime.now(UTC)), allow_nan=False)
    assert told
    assert [name for name, note in vars(found).items() if note is None] in ([], [section])
