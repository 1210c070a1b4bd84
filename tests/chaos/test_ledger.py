"""The final check sees what is lost, doubled, changed or was never sent."""

from typing import Any

import pytest

from tests.chaos.ledger import Entry, Ledger

FIRST, SECOND = Entry("0-0", debit=1, credit=2, cents=1050), Entry("1-0", 1, 2, cents=7)


def recorded(number: int, entry: Entry) -> dict[str, Any]:
    return {"id": number, "description": entry.name, "postings": entry.body()["postings"]}


def balance(cents: int) -> dict[str, Any]:
    accounts = [
        {"account_id": 1, "balance": str(cents / 100)},
        {"account_id": 2, "balance": str(-cents / 100)},
    ]
    return {"balanced": True, "totals": [{"difference": "0"}], "accounts": accounts}


@pytest.fixture
def ledger() -> Ledger:
    """Two were sent and acknowledged."""
    ledger = Ledger()
    for number, entry in enumerate((FIRST, SECOND), start=1):
        ledger.note_sent(entry)
        ledger.note_acknowledged(entry, number)
    return ledger


def faults(ledger: Ledger, *found: dict[str, Any]) -> list[str]:
    """The check, with the trial balance that these transactions make."""
    cents = sum(ledger.sent[f["description"]].cents for f in found if f["id"] < 90)
    return ledger.check(found, balance(cents))


def test_what_was_acknowledged_and_is_there_once_is_right(ledger: Ledger) -> None:
    assert faults(ledger, recorded(2, SECOND), recorded(1, FIRST)) == []


def test_one_that_is_lost_is_seen(ledger: Ledger) -> None:
    assert faults(ledger, recorded(1, FIRST)) == ["lost: 1-0 was acknowledged as 2"]


def test_one_that_is_doubled_is_seen(ledger: Ledger) -> None:
    found = faults(ledger, recorded(1, FIRST), recorded(2, SECOND), recorded(3, SECOND))
    assert found[0] == "doubled: 1-0 is there 2 times"


def test_one_that_is_listed_twice_is_seen(ledger: Ledger) -> None:
    found = faults(ledger, recorded(1, FIRST), recorded(2, SECOND), recorded(2, SECOND))
    assert found[0] == "id 2 is listed 2 times"


def test_one_that_was_never_sent_is_seen(ledger: Ledger) -> None:
    stranger = recorded(9, Entry("9-9", 1, 2, cents=0))
    books = [recorded(1, FIRST), recorded(2, SECOND), stranger]
    assert ledger.check(books, balance(1057)) == ["never sent: 9-9 is there as 9"]


def test_one_under_another_id_than_was_said_is_seen(ledger: Ledger) -> None:
    assert faults(ledger, recorded(1, FIRST), recorded(3, SECOND)) == [
        "another: 1-0 is 3, said was 2"
    ]


def test_one_with_another_amount_is_seen(ledger: Ledger) -> None:
    changed = {**recorded(2, SECOND), "postings": recorded(2, FIRST)["postings"]}
    found = ledger.check([recorded(1, FIRST), changed], balance(2100))
    assert len(found) == 1
    assert found[0].startswith("changed: 1-0")


def test_one_that_was_sent_and_never_answered_may_be_there_or_not(ledger: Ledger) -> None:
    unanswered = Entry("2-0", 1, 2, cents=1)
    ledger.note_sent(unanswered)
    there = [recorded(1, FIRST), recorded(2, SECOND)]
    assert faults(ledger, *there) == []
    assert faults(ledger, *there, recorded(3, unanswered)) == []
    assert "doubled" in faults(ledger, *there, *(recorded(n, unanswered) for n in (3, 4)))[0]


def test_a_trial_balance_that_is_not_zero_is_seen(ledger: Ledger) -> None:
    crooked = balance(1057) | {"totals": [{"difference": "0.01"}]}
    found = ledger.check([recorded(1, FIRST), recorded(2, SECOND)], crooked)
    assert found == ["the trial balance is not zero: [{'difference': '0.01'}]"]


def test_a_balance_that_its_postings_do_not_make_is_seen(ledger: Ledger) -> None:
    found = ledger.check([recorded(1, FIRST), recorded(2, SECOND)], balance(1056))
    assert found[0] == "account 1 has 1056 cents; its postings 1057"
