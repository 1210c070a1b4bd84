"""Names of backups: whatever is accepted can be a folder, and nothing but that one folder."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups.backup_errors import BadRequestError
from appliance.backups.format import backup_name
from appliance.backups.format.backup_name import BackupName
from appliance.errors import ExitCode
from appliance.storage.paths import Storage

moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the time zone is the next argument
    datetime(2999, 1, 1),  # noqa: DTZ001 - the time zone is the next argument
    timezones=st.just(UTC),
)
nearly = st.text(st.sampled_from("aZ09._-/\\ \0\n\t~*$\u0660\u00e9\u202e"), max_size=140)


def accepted(name: str) -> bool:
    try:
        return BackupName(name) == name
    except BadRequestError:
        return False


@given(st.one_of(st.text(max_size=140), nearly))
def test_what_is_accepted_is_one_plain_part_of_a_path(name: str) -> None:
    if accepted(name):
        assert PurePosixPath(name).parts == (name,)
        assert (Path("/backups") / name).resolve().parent == Path("/backups").resolve()
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name, re.ASCII)
        assert not name.startswith(".")


@given(st.from_regex(backup_name.PATTERN, fullmatch=True))
def test_what_is_of_the_pattern_is_accepted_but_for_the_reserved(name: str) -> None:
    assert accepted(name) == (name not in backup_name.RESERVED)


@pytest.mark.parametrize(
    "name", ["a", "0", "before-audit.2", "2026-11-20", "_", "a..b", "hooks", "a" * 128]
)
def test_a_users_own_names(name: str) -> None:
    assert BackupName(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "../a", "/a", "a/b", "a\\b", "a b", "a\n", "\na", "a\0"),
        *("~", "*", "caf\u00e9", "\u0660", "a" * 129, "a:b", "a\u202eb"),
    ],
)
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(BadRequestError, match="cannot be the name") as caught:
        BackupName(name)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "letters" in caught.value.hint
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_the_folder_of_the_hooks_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError):
        BackupName(Storage(tmp_path).hook_backup.name)


@pytest.mark.parametrize("name", sorted(backup_name.RESERVED))
def test_what_is_reserved_is_no_name_and_the_hint_says_so(name: str) -> None:
    with pytest.raises(BadRequestError, match="taken"):
        BackupName(name)


@given(moments)
def test_names_of_ours_are_names_and_tell_the_time(moment: datetime) -> None:
    name = BackupName.generate(moment)
    assert BackupName(name) == name
    assert name.is_generated
    assert re.fullmatch(r"appliance-\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}", name)
    told = datetime.strptime(name[:-5], "appliance-%Y-%m-%d-%H%M%S").replace(tzinfo=UTC)
    assert told == moment.replace(microsecond=0)


@given(moments, st.integers(1, 10**9))
def test_names_of_ours_are_sorted_by_time(moment: datetime, later_s: int) -> None:
    assert BackupName.generate(moment) < BackupName.generate(moment + timedelta(seconds=later_s))


def test_two_of_a_second_differ() -> None:
    moment = datetime(2026, 11, 20, 13, tzinfo=UTC)
    assert len({BackupName.generate(moment) for _ in range(20)}) > 15


@pytest.mark.parametrize(
    "name",
    [
        "nightly",
        "appliance-2026-11-20-130000",
        "appliance-2026-11-20-130000-0a1b-keep",
        "my-appliance-2026-11-20-130000-0a1b",
        "appliance-2026-11-20-130000-0A1B",
    ],
)
def test_what_looks_nearly_like_one_of_ours_is_the_users(name: str) -> None:
    assert not BackupName(name).is_generated


@pytest.mark.parametrize(
    "name", ["appliance-2026-11-20-130000-0a1b\n", "appliance-٢٠٢٦-11-20-130000-0a1b"]
)
def test_what_looks_like_one_of_ours_to_people_only_is_no_name(name: str) -> None:
    with pytest.raises(BadRequestError):
        BackupName(name)


def test_names_are_picked_from_what_else_lies_there() -> None:
    found = ["b", ".staging-a-1", "a b", "a", "prune"]
    assert backup_name.names_among(found) == [BackupName("b"), BackupName("a")]
