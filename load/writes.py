"""Every write: what was sent, what was acknowledged, and whether it is there exactly once."""

import json
import threading
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from load.http_request import HttpRequest
from load.outcomes import Exchange, RequestOutcome

LIMIT_S = 60.0

N = TypeVar("N", bound=Hashable)


def cents(amount: str) -> int:
    """An amount of the API as whole cents.

    >>> cents("-12.3")
    -1230
    """
    return int(Decimal(amount) * 100)


@dataclass(frozen=True)
class Entry:
    """One transaction: its name, which no other has, and the cents that change accounts."""

    name: str
    debit: int
    credit: int
    cents: int

    @property
    def request(self) -> HttpRequest:
        """What records it."""
        return HttpRequest(self.name, "POST", "/api/transactions", 201, json.dumps(self.body()))

    def body(self) -> dict[str, Any]:
        """It as the API takes it."""
        amount = Decimal(self.cents).scaleb(-2)
        return {
            "date": "2026-11-20",
            "description": self.name,
            "postings": [
                {"account_id": self.debit, "amount": f"{amount:f}"},
                {"account_id": self.credit, "amount": f"{-amount:f}"},
            ],
        }

    def is_recorded_as(self, found: Mapping[str, Any]) -> bool:
        """Whether a transaction of the API's listing says the same."""
        posted = [(p["account_id"], cents(p["amount"])) for p in found["postings"]]
        return posted == [(self.debit, self.cents), (self.credit, -self.cents)]


def sale(number: int, accounts: Sequence[int]) -> Entry:
    """A transaction that its number tells from all others, between two accounts.

    >>> sale(7, [1, 2])
    Entry(name='Sale 7', debit=1, credit=2, cents=8)
    """
    return Entry(f"Sale {number}", accounts[0], accounts[1], number + 1)


class Acknowledged(Generic[N]):
    """What was acknowledged until now: the id of each by its name. For many threads."""

    def __init__(self) -> None:
        self._ids: dict[N, int] = {}
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, name: N, identity: int) -> None:
        """One more is acknowledged."""
        with self._changed:
            self._ids[name] = identity
            self._changed.notify_all()

    def so_far(self) -> dict[N, int]:
        """All until now."""
        with self._changed:
            return dict(self._ids)

    def wait_for_more(self, count: int = 20, limit_s: float = LIMIT_S) -> None:
        """Wait until so many more are acknowledged; raises TimeoutError."""
        self.wait_for(len(self) + count, limit_s)

    def wait_for(self, count: int, limit_s: float = LIMIT_S) -> None:
        """Wait until so many are acknowledged; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._ids) >= count, limit_s):
                raise TimeoutError(f"not {count} but {len(self)} acknowledged in {limit_s:g} s")


class Writes:
    """All that was sent, and what is known of it. For many threads.

    The sums bound what the books may say at any moment: all that was acknowledged is in them,
    and nothing that was never sent.
    """

    def __init__(self) -> None:
        self.sent: dict[str, Entry] = {}
        self.acknowledged = Acknowledged[str]()
        self.refused: set[str] = set()
        self.sent_cents = self.acknowledged_cents = 0
        self._lock = threading.Lock()

    def note_sent(self, entry: Entry) -> None:
        """Write down that it will be sent; before it is."""
        with self._lock:
            assert entry.name not in self.sent, f"{entry.name} is used twice"
            self.sent[entry.name] = entry
            self.sent_cents += entry.cents

    def note(self, exchange: Exchange[Any]) -> None:
        """Write down what became of one; a read is nothing to it."""
        entry = self.sent.get(exchange.request.name)
        if entry is None:
            return
        if exchange.outcome is RequestOutcome.ACKNOWLEDGED:
            self.note_acknowledged(entry, exchange.response.document["id"])
        elif exchange.outcome is RequestOutcome.REFUSED:
            self.refused.add(entry.name)

    def note_acknowledged(self, entry: Entry, identity: int) -> None:
        """Write down that the API said it is recorded, under this id."""
        with self._lock:
            self.acknowledged_cents += entry.cents
        self.acknowledged.add(entry.name, identity)

    def check(
        self, recorded: Sequence[Mapping[str, Any]], trial_balance: Mapping[str, Any]
    ) -> list[str]:
        """Compare with every transaction that the books hold; returns what is wrong."""
        acknowledged = self.acknowledged.so_far()
        return [
            *_check_listing(recorded),
            *_check_presence(recorded, acknowledged),
            *(fault for found in recorded for fault in self._check_one(found, acknowledged)),
            *_check_balances(recorded, trial_balance),
        ]

    def _check_one(self, found: Mapping[str, Any], acknowledged: Mapping[str, int]) -> list[str]:
        name, identity = found["description"], found["id"]
        entry = self.sent.get(name)
        if entry is None:
            return [f"never sent: {name} is there as {identity}"]
        if not entry.is_recorded_as(found):
            return [f"changed: {name} is not as it was sent: {found['postings']}"]
        if name in self.refused:
            return [f"denied: {name} is there as {identity}, although the answer denied it"]
        said = acknowledged.get(name, identity)
        return [f"another: {name} is {identity}, said was {said}"] if said != identity else []


def _check_listing(recorded: Iterable[Mapping[str, Any]]) -> list[str]:
    ids = Counter(found["id"] for found in recorded)
    return [f"id {identity} is listed {n} times" for identity, n in ids.items() if n > 1]


def _check_presence(
    recorded: Iterable[Mapping[str, Any]], acknowledged: Mapping[str, int]
) -> list[str]:
    times = Counter(found["description"] for found in recorded)
    lost = [name for name in acknowledged if not times[name]]
    doubled = [name for name, n in times.items() if n > 1]
    return [
        *(f"lost: {name} was acknowledged as {acknowledged[name]}" for name in lost),
        *(f"doubled: {name} is there {times[name]} times" for name in doubled),
    ]


def _check_balances(
    recorded: Sequence[Mapping[str, Any]], trial_balance: Mapping[str, Any]
) -> list[str]:
    faults = []
    totals = trial_balance["totals"]
    if not trial_balance["balanced"] or any(Decimal(t["difference"]) for t in totals):
        faults.append(f"the trial balance is not zero: {totals}")
    wanted: Counter[int] = Counter()
    for found in recorded:
        for posting in found["postings"]:
            wanted[posting["account_id"]] += cents(posting["amount"])
    # Every account is debited only or credited only, so nothing cancels out.
    debited, says = sum(n for n in wanted.values() if n > 0), [cents(t["debit"]) for t in totals]
    if sum(says) != debited:
        faults.append(f"the debits are {says} cents; the postings {debited}")
    for account in trial_balance["accounts"]:
        has, number = cents(account["balance"]), account["account_id"]
        if has != wanted[number]:
            faults.append(f"account {number} has {has} cents; its postings {wanted[number]}")
    return faults
