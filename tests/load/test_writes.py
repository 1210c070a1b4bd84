"""The final check sees what is lost, doubled, changed or was never sent."""

from typing import Any

import pytest

from load.writes import Entry, Writes

FIRST, SECOND = Entry("0-0", debit=1, credit=2, cents=1050), Entry("1-0", 1, 2, cents=7)


def recorded(number: int, entry: Entry) -> dict[str, Any]:
    return {"id": number, "description": entry.name, "postings": entry.body()["postings"]}


def balance(cents: int) -> dict[str, Any]:
    accounts = [
        {"account_id": 1, "balance": str(cents / 100)},
        {"account_id": 2, "balance": str(-cents / 100)},
    ]
    totals = [{"difference": "0", "debit": str(cents / 100)}]
    return {"balanced": True, "totals": totals, "accounts": accounts}


@pytest.fixture
def writes() -> Writes:
    """Two were sent and acknowledged."""
    writes = Writes()
    for number, entry in enumerate((FIRST, SECOND), start=1):
        writes.note_sent(entry)
        writes.note_acknowledged(entry, number)
    return writes


def faults(writes: Writes, *found: dict[str, Any]) -> list[str]:
    """The check, with the trial balance that these transactions make."""
    cents = sum(writes.sent[f["description"]].cents for f in found if f["id"] < 90)
    return writes.check(found, balance(cents))


def test_what_was_acknowledged_and_is_there_once_is_right(writes: Writes) -> None:
    assert faults(writes, recorded(2, SECOND), recorded(1, FIRST)) == []


def test_one_that_is_lost_is_seen(writes: Writes) -> None:
    assert faults(writes, recorded(1, FIRST)) == ["lost: 1-0 was acknowledged as 2"]


def test_one_that_is_doubled_is_seen(writes: Writes) -> None:
    found = faults(writes, recorded(1, FIRST), recorded(2, SECOND), recorded(3, SECOND))
    assert found[0] == "doubled: 1-0 is there 2 times"


def test_one_that_is_listed_twice_is_seen(writes: Writes) -> None:
    found = faults(writes, recorded(1, FIRST), recorded(2, SECOND), recorded(2, SECOND))
    assert found[0] == "id 2 is listed 2 times"


def test_one_that_was_never_sent_is_seen(writes: Writes) -> None:
    stranger = recorded(9, Entry("9-9", 1, 2, cents=0))
    books = [recorded(1, FIRST), recorded(2, SECOND), stranger]
    assert writes.check(books, balance(1057)) == ["never sent: 9-9 is there as 9"]


def test_one_under_another_id_than_was_said_is_seen(writes: Writes) -> None:
    assert faults(writes, recorded(1, FIRST), recorded(3, SECOND)) == [
        "another: 1-0 is 3, said was 2"
    ]


def test_one_with_another_amount_is_seen(writes: Writes) -> None:
    changed = {**recorded(2, SECOND), "postings": recorded(2, FIRST)["postings"]}
    found = writes.check([recorded(1, FIRST), changed], balance(2100))
    assert len(found) == 1
    assert found[0].startswith("changed: 1-0")


def test_one_that_was_sent_and_never_answered_may_be_there_or_not(writes: Writes) -> None:
    unanswered = Entry("2-0", 1, 2, cents=1)
    writes.note_sent(unanswered)
    there = [recorded(1, FIRST), recorded(2, SECOND)]
    assert faults(writes, *there) == []
    assert faults(writes, *there, recorded(3, unanswered)) == []
    assert "doubled" in faults(writes, *there, *(recorded(n, unanswered) for n in (3, 4)))[0]


def test_a_trial_balance_that_is_not_zero_is_seen(writes: Writes) -> None:
    totals = [{"difference": "0.01", "debit": "10.57"}]
    crooked = balance(1057) | {"totals": totals}
    found = writes.check([recorded(1, FIRST), recorded(2, SECOND)], crooked)
    assert found == [f"the trial balance is not zero: {totals}"]


def test_a_balance_that_its_postings_do_not_make_is_seen(writes: Writes) -> None:
    found = writes.check([recorded(1, FIRST), recorded(2, SECOND)], balance(1056))
    assert found == [
        "the debits are [1056] cents; the postings 1057",
        "account 1 has 1056 cents; its postings 1057",
        "account 2 has -1056 cents; its postings -1057",
    ]


def test_one_that_is_there_although_the_answer_denied_it_is_seen(writes: Writes) -> None:
    denied = Entry("2-0", 1, 2, cents=1)
    writes.note_sent(denied)
    writes.refused.add(denied.name)
    there = [recorded(1, FIRST), recorded(2, SECOND)]
    assert faults(writes, *there) == []
    assert faults(writes, *there, recorded(3, denied)) == [
        "denied: 2-0 is there as 3, although the answer denied it"
    ]
