"""The ledger that is kept outside: what was sent, what was acknowledged, and the final check."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


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

    def body(self) -> dict[str, Any]:
        """The request that records it."""
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


@dataclass
class Ledger:
    """Safe to write from many threads.

    The sums bound what the books may say at any moment: all that was acknowledged is in them,
    and nothing that was never sent.
    """

    sent: dict[str, Entry] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    sent_cents: int = 0
    acknowledged_cents: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_sent(self, entry: Entry) -> None:
        """Write down that it will be sent; before it is."""
        with self._lock:
            assert entry.name not in self.sent, f"{entry.name} is used twice"
            self.sent[entry.name] = entry
            self.sent_cents += entry.cents

    def note_acknowledged(self, entry: Entry, number: int) -> None:
        """Write down that the API said it is recorded, under this id."""
        with self._lock:
            self.acknowledged[entry.name] = number
            self.acknowledged_cents += entry.cents

    def check(
        self, recorded: Sequence[Mapping[str, Any]], trial_balance: Mapping[str, Any]
    ) -> list[str]:
        """Compare with every transaction that the books hold; returns what is wrong."""
        return [
            *self._check_listing(recorded),
            *self._check_presence(recorded),
            *(fault for found in recorded for fault in self._check_one(found)),
            *self._check_balances(recorded, trial_balance),
        ]

    def _check_listing(self, recorded: Iterable[Mapping[str, Any]]) -> list[str]:
        ids = Counter(found["id"] for found in recorded)
        return [f"id {number} is listed {n} times" for number, n in ids.items() if n > 1]

    def _check_presence(self, recorded: Iterable[Mapping[str, Any]]) -> list[str]:
        times = Counter(found["description"] for found in recorded)
        lost = [name for name in self.acknowledged if not times[name]]
        doubled = [name for name, n in times.items() if n > 1]
        return [
            *(f"lost: {name} was acknowledged as {self.acknowledged[name]}" for name in lost),
            *(f"doubled: {name} is there {times[name]} times" for name in doubled),
        ]

    def _check_one(self, found: Mapping[str, Any]) -> list[str]:
        name = found["description"]
        entry = self.sent.get(name)
        if entry is None:
            return [f"never sent: {name} is there as {found['id']}"]
        if not entry.is_recorded_as(found):
            return [f"changed: {name} is not as it was sent: {found['postings']}"]
        if self.acknowledged.get(name, found["id"]) != found["id"]:
            return [f"another: {name} is {found['id']}, said was {self.acknowledged[name]}"]
        return []

    def _check_balances(
        self, recorded: Iterable[Mapping[str, Any]], trial_balance: Mapping[str, Any]
    ) -> list[str]:
        faults = []
        totals = trial_balance["totals"]
        if not trial_balance["balanced"] or any(Decimal(t["difference"]) for t in totals):
            faults.append(f"the trial balance is not zero: {totals}")
        wanted: Counter[int] = Counter()
        for found in recorded:
            for posting in found["postings"]:
                wanted[posting["account_id"]] += cents(posting["amount"])
        for account in trial_balance["accounts"]:
            says, number = cents(account["balance"]), account["account_id"]
            if says != wanted[number]:
                faults.append(f"account {number} has {says} cents; its postings {wanted[number]}")
        return faults
