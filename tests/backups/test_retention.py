"""Which backups go: decided over lists, never by looking at a disk."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups.backup_errors import BadRequestError
from appliance.backups.format.backup_name import BackupName
from appliance.backups.retention import to_prune

START = datetime(2026, 11, 20, 13, tzinfo=UTC)


@dataclass(frozen=True)
class Kept:
    """A backup in a list."""

    name: BackupName
    created_at: str | None


moments = st.integers(0, 20).map(lambda hours: (START + timedelta(hours=hours)).isoformat())
generated = st.from_regex(r"appliance-2026-11-[0-3][0-9]-130000-[0-9a-f]{4}", fullmatch=True)
backup = st.builds(
    Kept,
    st.one_of(generated, st.from_regex(r"[a-c]{1,3}", fullmatch=True)).map(BackupName),
    st.one_of(moments, st.sampled_from([None, "", "yesterday"])),
)
backups = st.lists(backup, max_size=30, unique_by=lambda one: one.name)


@given(backups, st.integers(1, 10))
def test_the_newest_stay(found: list[Kept], keep: int) -> None:
    pruned = to_prune(found, keep, generated_only=False)
    readable = [one for one in found if is_readable(one)]
    stays = [one for one in readable if one not in pruned]
    assert len(stays) == min(keep, len(readable))
    assert all(key(old) < key(new) for old in pruned for new in stays)
    assert pruned == sorted(pruned, key=key), "whoever is interrupted has removed the oldest"


@given(backups, st.integers(1, 10), st.booleans())
def test_what_cannot_be_read_is_neither_counted_nor_pruned(
    found: list[Kept], keep: int, generated_only: bool
) -> None:
    readable = [one for one in found if is_readable(one)]
    pruned = to_prune(found, keep, generated_only=generated_only)
    assert pruned == to_prune(readable, keep, generated_only=generated_only)
    assert all(is_readable(one) for one in pruned)


@given(backups, st.integers(1, 10))
def test_the_schedule_neither_counts_nor_prunes_what_a_user_has_named(
    found: list[Kept], keep: int
) -> None:
    ours = [one for one in found if one.name.is_generated]
    assert to_prune(found, keep, generated_only=True) == to_prune(ours, keep, generated_only=False)


@given(backups, st.integers(1, 10), st.data())
def test_what_is_spared_stays_besides(found: list[Kept], keep: int, data: st.DataObject) -> None:
    pruned = to_prune(found, keep, generated_only=False)
    spare = {one.name for one in found if data.draw(st.booleans())}
    fewer = to_prune(found, keep, generated_only=False, spare=spare)
    assert fewer == [one for one in pruned if one.name not in spare]


def test_one_that_was_just_made_by_a_clock_that_was_set_back_can_be_spared() -> None:
    old = [kept(f"old-{day}", f"2026-11-2{day}T00:00:00Z") for day in range(3)]
    new = kept("new", "1970-01-01T00:00:05Z")
    assert to_prune([*old, new], 2, generated_only=False) == [new, old[0]]
    assert to_prune([*old, new], 2, generated_only=False, spare={"new"}) == [old[0]]


def test_times_are_compared_and_not_their_texts() -> None:
    texts = ("2026-11-20T13:00:00Z", "2026-11-20T13:00:01+00:00", "2026-11-20T13:00:01.5")
    found = [kept(str(number), text) for number, text in enumerate(texts)]
    assert to_prune(found[::-1], 1, generated_only=False) == found[:2]
    same = [kept("b", texts[0]), kept("a", texts[0])]
    assert to_prune(same, 1, generated_only=False) == [same[1]]


@pytest.mark.parametrize("keep", [0, -1])
def test_all_of_them_cannot_be_pruned(keep: int) -> None:
    with pytest.raises(BadRequestError, match="keep at least 1"):
        to_prune([], keep, generated_only=True)


def kept(name: str, created_at: str | None) -> Kept:
    return Kept(BackupName(name), created_at)


def is_readable(one: Kept) -> bool:
    return one.created_at not in {None, "", "yesterday"}


def key(one: Kept) -> tuple[str, str]:
    assert one.created_at
    return one.created_at, one.name
