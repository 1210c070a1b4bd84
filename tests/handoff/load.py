"""Clients that read and write without a pause, and to whom a failed request is a failure."""

import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.handoff.client import Client
from tests.harness.appliance import Appliance
from tests.harness.kept_connection import Answer
from tests.harness.waiting import wait_until
from tests.scenarios.bookkeeper import transaction

CLIENTS = 4
# Other tests run on this machine too.
PAUSE_S = 0.004
NOTHING_CHANGED = "Nothing was changed."

# A client's turns, again and again: half of them write.
_TURNS = ("write", "/api/trial-balance", "write", "/api/accounts")


@dataclass(frozen=True)
class Failure:
    """A request that was not answered with a 2xx. `at` and `took_s` are seconds."""

    at: float
    took_s: float
    url: str
    what: str
    number: int | None
    answer: Answer

    def __str__(self) -> str:
        detail = self.answer.body[:300].decode(errors="replace")
        return (
            f"{self.at:.3f} {self.what} at {self.url} after {self.took_s:.3f} s: "
            f"{self.answer.status} {detail}"
        )


@dataclass
class _Counts:
    """How much is under way and answered, by URL; since when each client waits."""

    in_flight: Counter[str] = field(default_factory=Counter)
    since: dict[str, float] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)


class Load:
    """Clients at work while the `with` block lasts; `switch` says where they send the next."""

    def __init__(self, *targets: Appliance, clients: int = CLIENTS) -> None:
        self.failures: list[Failure] = []
        self.acknowledged: dict[int, int] = {}
        self.longest_s = 0.0
        self._sent: set[int] = set()
        self._targets = targets
        self._key = targets[0].key()
        self._run = uuid.uuid4().hex[:8]
        self._counts = _Counts()
        self._lock = threading.Lock()
        self._over = threading.Event()
        names = [f"load-{n}" for n in range(clients)]
        self._threads = [threading.Thread(target=self._work, name=name) for name in names]
        self._accounts = [self._open_account(name) for name in ("Cash", "Sales")]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_: object) -> None:
        died = [thread.name for thread in self._threads if not thread.is_alive()]
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not died, f"{died} ended early"

    def switch(self, *targets: Appliance) -> None:
        """Send from now on to these, in turns."""
        with self._lock:
            self._targets = targets

    def drain(self, old: Appliance) -> None:
        """Wait until the last request to a container that gets no more is answered."""
        wait_until(lambda: self._counts.in_flight[old.url] == 0, f"{old.url} is drained")

    def move(self, old: Appliance, new: Appliance) -> None:
        """Switch and drain, as the platform's proxy does."""
        self.switch(new)
        self.drain(old)

    def wait_for_more(self, count: int = 20, timeout_s: float = 30.0) -> None:
        """Wait until each container in use has answered so many more."""
        wanted = {one.url: self._counts.answered[one.url] + count for one in self._targets}

        def enough() -> bool:
            return all(self._counts.answered[url] >= many for url, many in wanted.items())

        wait_until(enough, f"{count} more answers; {self.story()}", timeout_s)

    def wait_until_all_wait(self, seconds: float) -> None:
        """Wait until every client has waited so long for an answer."""

        def all_wait() -> bool:
            with self._lock:
                since = list(self._counts.since.values())
            return len(since) == len(self._threads) and time.monotonic() - max(since) >= seconds

        wait_until(all_wait, f"all clients wait for {seconds} s")

    def story(self) -> str:
        """What went wrong, for a failed test."""
        return "\n".join([f"{len(self.failures)} failed", *map(str, self.failures[:8])])

    def verify(self, through: Appliance, *, failures: bool = False) -> None:
        """Check the books against what was sent and answered; call it after the `with` block.

        With `failures` some requests may have failed; what they said must be true nevertheless.
        """
        assert failures or not self.failures, self.story()
        client = Client(self._key)
        recorded = client.pages(through.url, "/api/transactions")
        balance = client.ask(through.url, "GET", "/api/trial-balance").document
        client.close()
        self._check_recorded(recorded)
        numbers = [int(entry["description"].split()[1]) for entry in recorded]
        assert balance["balanced"] is True
        assert [Decimal(line["difference"]) for line in balance["totals"]] == [Decimal(0)]
        assert Decimal(balance["totals"][0]["debit"]) == Decimal(sum(numbers) + len(numbers)) / 100

    def _check_recorded(self, recorded: list[dict[str, Any]]) -> None:
        numbers = [int(entry["description"].split()[1]) for entry in recorded]
        doubled = [number for number, times in Counter(numbers).items() if times > 1]
        assert doubled == [], "applied twice"
        there = {int(entry["description"].split()[1]): entry["id"] for entry in recorded}
        lost = {n: one for n, one in self.acknowledged.items() if there.get(n) != one}
        assert lost == {}, "acknowledged and not there"
        assert there.keys() <= self._sent, "nobody sent them"
        denied = {f.number for f in self.failures if NOTHING_CHANGED.encode() in f.answer.body}
        assert denied & there.keys() == set(), "there although the answer denied it"

    def _work(self) -> None:
        client = Client(self._key)
        turn = 0
        while not self._over.wait(PAUSE_S):
            turn += 1
            self._ask(client, turn // len(_TURNS), _TURNS[turn % len(_TURNS)])
        client.close()

    def _ask(self, client: Client, whose_turn: int, what: str) -> None:
        with self._lock:
            url = self._targets[whose_turn % len(self._targets)].url
            self._counts.in_flight[url] += 1
            self._counts.since[threading.current_thread().name] = began = time.monotonic()
            number = len(self._sent) if what == "write" else None
            if number is not None:
                self._sent.add(number)
        answer = self._send(client, url, what, number)
        took_s = time.monotonic() - began
        with self._lock:
            self._note(Failure(time.time(), took_s, url, what, number, answer))
            self._counts.in_flight[url] -= 1
            del self._counts.since[threading.current_thread().name]
            self._counts.answered[url] += 1

    def _send(self, client: Client, url: str, what: str, number: int | None) -> Answer:
        if number is None:
            return client.ask(url, "GET", what)
        body, key = transaction(number, self._accounts), f"{self._run}-{number}"
        return client.ask(url, "POST", "/api/transactions", body, **{"Idempotency-Key": key})

    def _note(self, outcome: Failure) -> None:
        self.longest_s = max(self.longest_s, outcome.took_s)
        if not 200 <= outcome.answer.status < 300:
            self.failures.append(outcome)
        elif outcome.number is not None:
            self.acknowledged[outcome.number] = outcome.answer.document["id"]

    def _open_account(self, name: str) -> int:
        body = {"name": name, "kind": "asset", "currency": "EUR"}
        answer = self._targets[0].call("POST", "/api/accounts", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])
