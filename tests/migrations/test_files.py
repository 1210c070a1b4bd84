"""The files of a track: their names, their numbers, their bytes."""

from pathlib import Path

import pytest

from appliance.errors import SchemaError
from appliance.migrations.statements import split
from appliance.migrations.tracks import ENGINE_FOLDER, read_migrations


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("SELECT 1;")


def refusal(folder: Path) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        read_migrations(folder)
    assert caught.value.hint
    return caught.value


def test_files_come_in_the_order_of_their_numbers_and_others_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "0002_b.sql", "0001_a.sql", "README.md", "0003_c.sql.orig")
    assert [m.name for m in read_migrations(tmp_path)] == ["0001_a.sql", "0002_b.sql"]


def test_a_missing_number_is_named_with_the_file_after_the_gap(tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", "0003_c.sql")
    message = refusal(tmp_path).message
    assert (
        message == f"Migration number 0002 is missing in {tmp_path}: the next file is 0003_c.sql."
    )


def test_numbers_begin_at_one(tmp_path: Path) -> None:
    write(tmp_path, "0000_a.sql")
    assert "number 0001 is missing" in refusal(tmp_path).message


def test_a_number_used_twice_is_named(tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", "0001_b.sql")
    assert "0001 is used twice" in refusal(tmp_path).message


@pytest.mark.parametrize("name", ["1_a.sql", "0001-a.sql", "0001_A.sql", "0001_a.SQL", ".sql"])
def test_a_bad_name_is_refused_and_not_ignored(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    error = refusal(tmp_path)
    assert name in error.message
    assert "0001_what_it_does.sql" in error.hint


@pytest.mark.parametrize(
    ("content", "reason"), [(b"SELECT '\xff'", "not UTF-8"), (b"SELECT 1;\0DROP", "zero byte")]
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "0001_a.sql").write_bytes(content)
    assert reason in refusal(tmp_path).message


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").mkdir()
    assert "cannot be read: Is a directory" in refusal(tmp_path).message


def test_the_directive_counts_only_as_the_whole_first_line(tmp_path: Path) -> None:
    for number, first in enumerate(
        ["-- appliance: no-transaction", "-- appliance: no-transactions"]
    ):
        (tmp_path / f"000{number + 1}_a.sql").write_text(f"{first}\r\nSELECT 1;")
    assert [m.transactional for m in read_migrations(tmp_path)] == [False, True]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"\xef\xbb\xbf-- appliance: no-transaction\nVACUUM;")
    [migration] = read_migrations(tmp_path)
    assert not migration.transactional
    assert not migration.sql.startswith("\ufeff")


def test_our_own_files_follow_the_rules() -> None:
    for migration in read_migrations(ENGINE_FOLDER):
        assert not [part for part in split(migration.sql) if part.transaction_command]
