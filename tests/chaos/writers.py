"""Clients that never stop: they post transactions, read the trial balance, and forgive nothing."""

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tests.chaos.containers import Container
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import Entry, Ledger, cents
from tests.chaos.plan import dice_of
from tests.harness.kept_connection import KeptConnection

WRITERS = 5
WRITER_PAUSE_S = 0.03
READER_PAUSE_S = 0.25
# A request that was cut on purpose is sent again, with the same key, for so long.
INSIST_FOR_S = 60.0
RETRY_PAUSE_S = 0.02

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class RequestFailed(Exception):  # noqa: N818 - it says what became of a request
    """A request failed that nothing excuses."""


@dataclass
class Tally:
    """What the clients saw. `seconds` are of answers that came without a cut; `cuts` count the
    requests, by what was killed, that had to be sent again."""

    seconds: list[float] = field(default_factory=list)
    reads: int = 0
    cuts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Clients:
    """Use it in a `with` statement: they work inside."""

    def __init__(self, fleet: Fleet, ledger: Ledger, key: str, accounts: list[int], seed: int):
        self.tally = Tally()
        self._fleet, self._ledger = fleet, ledger
        # Each account has one side, so that the sum of all debits is that of what was recorded.
        self._debits, self._credits = accounts[::2], accounts[1::2]
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._seed = seed
        self._over = threading.Event()
        work = [self._write] * WRITERS + [self._read]
        self._threads = [
            threading.Thread(target=self._run, args=(number, one), daemon=True)
            for number, one in enumerate(work)
        ]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(INSIST_FOR_S)

    def _run(self, number: int, work: Any) -> None:
        try:
            work(Session(self._fleet, self._headers, self.tally), number)
        except Exception as error:
            # An assertion and a bug of ours count as well: no client may end before the others.
            text = f"client {number}: {type(error).__name__}: {error}"
            self._fleet.timeline.note("FAILED", text)
            self.tally.failures.append(text)

    def _write(self, session: "Session", number: int) -> None:
        dice, count = dice_of(f"{self._seed} writer {number}"), 0
        while not self._over.wait(dice.uniform(0, 2 * WRITER_PAUSE_S)):
            debit, credit = dice.choice(self._debits), dice.choice(self._credits)
            entry = Entry(f"{number}-{count}", debit, credit, dice.randrange(1, 100_000))
            self._record(session, entry)
            count += 1

    def _record(self, session: "Session", entry: Entry) -> None:
        self._ledger.note_sent(entry)
        key = {"Idempotency-Key": f"chaos-{entry.name}"}
        document = session.insist("POST", "/api/transactions", 201, key, entry.body())
        if not entry.is_recorded_as(document):
            raise RequestFailed(f"{entry} was answered with {document}")
        self._ledger.note_acknowledged(entry, document["id"])

    def _read(self, session: "Session", _number: int) -> None:
        while not self._over.wait(READER_PAUSE_S):
            at_least = self._ledger.acknowledged_cents
            totals = session.insist("GET", "/api/trial-balance", 200)["totals"]
            _check_totals(totals, at_least, self._ledger.sent_cents)
            self.tally.reads += 1


def _check_totals(totals: list[dict[str, Any]], at_least: int, at_most: int) -> None:
    if any(cents(total["difference"]) for total in totals):
        raise RequestFailed(f"the books do not balance: {totals}")
    # Every account is debited only or credited only, so nothing cancels out.
    debit = sum(cents(total["debit"]) for total in totals)
    if not at_least <= debit <= at_most:
        raise RequestFailed(f"the books hold {debit} cents, not {at_least} to {at_most}")


class Session:
    """One client and its kept connection to the live container."""

    def __init__(self, fleet: Fleet, headers: dict[str, str], tally: Tally) -> None:
        self._fleet, self._headers, self._tally = fleet, headers, tally
        self._kept: dict[str, KeptConnection] = {}

    def insist(
        self,
        method: str,
        path: str,
        status: int,
        headers: Mapping[str, str] = NO_HEADERS,
        body: Any = None,
    ) -> Any:
        """Send it; again only if we killed what was to answer. Returns the answer's document.

        Raises RequestFailed, also if the answer has any other status.
        """
        began, cuts = time.monotonic(), set[str]()
        while True:
            with self._fleet.request() as container:
                connection, sent = self._to(container), time.monotonic()
                try:
                    answer = connection.ask(method, path, {**self._headers, **headers}, body)
                    break
                except (OSError, http.client.HTTPException) as error:
                    cuts.add(_excuse(container, sent, f"{method} {path}: {error!r}"))
            if time.monotonic() - began > INSIST_FOR_S:
                raise RequestFailed(f"{method} {path} was cut for {INSIST_FOR_S:g} s: {cuts}")
            time.sleep(RETRY_PAUSE_S)
        if answer.status != status:
            raise RequestFailed(f"{method} {path} to {container.name} was answered with {answer}")
        self._count(time.monotonic() - began, cuts)
        return answer.document

    def _to(self, container: Container) -> KeptConnection:
        kept = self._kept.get(container.name)
        if kept is not None and kept.is_stale():
            # A proxy that had just sent a request on it would have lost that one.
            _excuse(container, kept.used_at, "a kept connection was closed")
            kept.close()
        if kept is None:
            self._close()
            kept = KeptConnection(f"127.0.0.1:{container.port}")
            self._kept[container.name] = kept
        return kept

    def _close(self) -> None:
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()

    def _count(self, seconds: float, cuts: set[str]) -> None:
        with self._tally.lock:
            if not cuts:
                self._tally.seconds.append(seconds)
            for why in cuts:
                self._tally.cuts[why] = self._tally.cuts.get(why, 0) + 1


def _excuse(container: Container, since: float, what: str) -> str:
    until = time.monotonic()
    why = container.excuse(since, until)
    if why is None:
        raise RequestFailed(f"{container.name}, after {until - since:.3f} s: {what}")
    return why
