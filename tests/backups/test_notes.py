"""The notes of the last backup: written whole, read whatever has become of them."""

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups import notes
from appliance.backups.notes import Backup, Failure, Notes, Proof
from appliance.storage import Storage
from tests.harness.examples import tries

AT = "2026-11-20T13:00:00Z"
MADE = Backup("nightly", AT, 12_345, ("local", "nas"))
PROVEN = Proof("nightly", AT, ok=True, tables=7, rows=1000, seconds=1.5, message="")
DISPROVEN = replace(PROVEN, at="2026-11-21T13:00:00Z", ok=False, message="a table is gone")
DOCUMENT = {
    "format": 1,
    "backup": {"name": "a", "at": AT, "size": 1, "destinations": ["local"]},
    "failure": {"at": AT, "message": "no room"},
    "proof": {**vars(PROVEN)},
    "proven": {**vars(PROVEN)},
}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with the folder of its notes."""
    (tmp_path / "run").mkdir()
    return Storage(tmp_path)


def test_at_first_nothing_is_known(storage: Storage) -> None:
    assert notes.read(storage) == Notes()
    assert set(Notes().to_json(datetime.now(UTC)).values()) == {None}


def test_each_kind_is_noted_beside_the_others(storage: Storage) -> None:
    notes.record_backup(storage, MADE)
    notes.record_proof(storage, PROVEN)
    notes.record_failure(storage, "no\nroom")
    found = notes.read(storage)
    assert (found.backup, found.proof, found.proven) == (MADE, PROVEN, PROVEN)
    assert found.failure is not None
    assert found.failure.message == "no\nroom"
    assert datetime.fromisoformat(found.failure.at).tzinfo is UTC
    assert stat.S_IMODE(storage.backup_notes.stat().st_mode) == 0o644


def test_a_proof_that_failed_does_not_hide_the_last_one_that_held(storage: Storage) -> None:
    notes.record_proof(storage, PROVEN)
    notes.record_proof(storage, DISPROVEN)
    found = notes.read(storage)
    assert (found.proof, found.proven) == (DISPROVEN, PROVEN)


def test_a_failure_is_over_when_a_later_backup_was_made(storage: Storage) -> None:
    notes.record_failure(storage, "no room")
    assert not notes.read(storage).ok
    notes.record_backup(storage, MADE)
    assert notes.read(storage) == Notes(backup=MADE)
    assert notes.read(storage).ok


def test_a_proof_that_failed_is_over_when_a_later_one_holds(storage: Storage) -> None:
    notes.record_proof(storage, DISPROVEN)
    assert not notes.read(storage).ok
    notes.record_proof(storage, PROVEN)
    assert notes.read(storage).ok


OLDER = replace(MADE, name="older", at="2026-11-19T13:00:00Z")
GONE = replace(PROVEN, removed=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Notes(backup=MADE), Notes(backup=OLDER)),
        (Notes(backup=OLDER), Notes(backup=OLDER)),
        (Notes(failure=Failure(AT, "no room")), Notes(failure=Failure(AT, "no room"))),
        (Notes(proof=DISPROVEN), Notes()),
        (Notes(proof=DISPROVEN, proven=PROVEN), Notes(proof=GONE, proven=GONE)),
        (Notes(proof=PROVEN, proven=PROVEN), Notes(proof=GONE, proven=GONE)),
        (
            Notes(proof=replace(DISPROVEN, name="older"), proven=PROVEN),
            Notes(proof=replace(DISPROVEN, name="older"), proven=GONE),
        ),
    ],
)
def test_what_is_removed_is_no_trouble_any_more_and_what_it_proved_stays(
    before: Notes, after: Notes
) -> None:
    assert before.without("nightly", OLDER) == after


def test_a_removal_that_no_note_speaks_of_writes_nothing(storage: Storage) -> None:
    notes.record_removal(storage, "nightly", OLDER)
    assert not storage.backup_notes.exists()
    notes.record_backup(storage, MADE)
    notes.record_removal(storage, "nightly", None)
    assert notes.read(storage) == Notes()


def test_notes_of_a_version_that_knew_no_removal_are_read(storage: Storage) -> None:
    proof = {name: value for name, value in vars(PROVEN).items() if name != "removed"}
    storage.backup_notes.write_text(json.dumps({**DOCUMENT, "proof": proof, "proven": proof}))
    found = notes.read(storage)
    assert (found.proof, found.proven) == (PROVEN, PROVEN)


def test_programs_are_told_how_old_everything_is() -> None:
    found = Notes(MADE, None, DISPROVEN, PROVEN)
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
    storage.backup_notes.write_text(damage)
    assert notes.read(storage) == Notes()


def test_a_folder_in_its_place_is_no_note_and_is_said_in_the_log(
    storage: Storage, capfd: pytest.CaptureFixture[str]
) -> None:
    storage.backup_notes.mkdir()
    assert notes.read(storage) == Notes()
    notes.record_backup(storage, MADE)
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
    entry = dict(DOCUMENT[section])  # type: ignore[call-overload]
    wrong = data.draw(st.one_of(anything, st.just(10**400), st.just(float("inf"))))
    entry[data.draw(st.sampled_from(sorted(entry)))] = wrong
    damaged = data.draw(st.sampled_from([entry, wrong]))
    text = json.dumps({**DOCUMENT, section: damaged})
    with mock.patch("pathlib.Path.read_text", return_value=text):
        found = notes.read(Storage(Path("/nowhere")))
    told = json.dumps(found.to_json(datetime.now(UTC)), allow_nan=False)
    assert told
    assert [name for name, note in vars(found).items() if note is None] in ([], [section])
