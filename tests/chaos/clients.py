"""Clients that never stop: they post transactions, read the trial balance, and forgive nothing.

They need no proxy: the fleet's switch does what one would do. They differ from other loads in that
only what we killed ourselves excuses a request, and that each answer is compared at once.
"""

from functools import partial
from typing import Any

from load import bookkeeping
from load.client import Attempt, Client, RequestFailed, Retry
from load.closed_loop import ClosedLoop, Turn
from load.outcomes import Exchange, Outcomes, RequestOutcome
from load.writes import Entry, Writes, cents
from tests.chaos.containers import Container
from tests.chaos.fleet import Fleet
from tests.chaos.plan import dice_of

WRITERS = 5
WRITER_PAUSE_S = 0.03
READER_PAUSE_S = 0.25
# A request that was cut on purpose is sent again, with the same key, for so long.
INSIST_FOR_S = 60.0
RETRY_PAUSE_S = 0.02


class Clients:
    """Use it in a `with` statement: they work inside. `failures` is what nothing excuses."""

    def __init__(self, fleet: Fleet, writes: Writes, key: str, accounts: list[int], seed: int):
        self.outcomes = Outcomes[Container]()
        self.failures: list[str] = []
        self._fleet, self._writes, self._seed = fleet, writes, seed
        # Each account has one side, so that the sum of all debits is that of what was recorded.
        self._debits, self._credits = accounts[::2], accounts[1::2]
        self._clients = [client_of(fleet, key) for _ in range(WRITERS + 1)]
        turns = [self._writer(number) for number in range(WRITERS)]
        turns.append(partial(self._read, self._clients[-1]))
        self._loop = ClosedLoop(turns, on_error=self._note_failure)

    def __enter__(self) -> "Clients":
        self._loop.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._loop.__exit__(*error)
        for client in self._clients:
            client.close()

    def _writer(self, writer: int) -> Turn:
        dice, client = dice_of(f"{self._seed} writer {writer}"), self._clients[writer]

        def write(number: int) -> float:
            debit, credit = dice.choice(self._debits), dice.choice(self._credits)
            self._record(client, Entry(f"{number}", debit, credit, dice.randrange(1, 100_000)))
            return dice.uniform(0, 2 * WRITER_PAUSE_S)

        return write

    def _record(self, client: Client[Container], entry: Entry) -> None:
        self._writes.note_sent(entry)
        document = self._succeeded(client.send(entry.request, f"chaos-{entry.name}"))
        if not entry.is_recorded_as(document):
            raise RequestFailed(f"{entry} was answered with {document}")
        self._writes.note_acknowledged(entry, document["id"])

    def _read(self, client: Client[Container], _number: int) -> float:
        at_least = self._writes.acknowledged_cents
        totals = self._succeeded(client.send(bookkeeping.TRIAL_BALANCE))["totals"]
        _check_totals(totals, at_least, self._writes.sent_cents)
        return READER_PAUSE_S

    def _succeeded(self, exchange: Exchange[Container]) -> Any:
        self.outcomes.record(exchange)
        if exchange.outcome is not RequestOutcome.ACKNOWLEDGED:
            raise RequestFailed(f"{exchange.backend.name}: {exchange}")
        return exchange.response.document

    def _note_failure(self, client: int, error: BaseException) -> None:
        # An assertion and a bug of ours count as well: no client may end before the others.
        text = f"client {client}: {type(error).__name__}: {error}"
        self._fleet.timeline.note("FAILED", text)
        self.failures.append(text)


def client_of(fleet: Fleet, key: str) -> Client[Container]:
    """A client of the live container, which sends again what was cut on purpose."""
    return Client(fleet.proxy, key, Retry(_excuse, RETRY_PAUSE_S, INSIST_FOR_S))


def _excuse(attempt: Attempt[Container]) -> str | None:
    # Whatever was answered, nothing excuses.
    answered = attempt.response.status > 0
    return None if answered else attempt.backend.excuse(attempt.since, attempt.until)


def _check_totals(totals: list[dict[str, Any]], at_least: int, at_most: int) -> None:
    if any(cents(total["difference"]) for total in totals):
        raise RequestFailed(f"the books do not balance: {totals}")
    # Every account is debited only or credited only, so nothing cancels out.
    debit = sum(cents(total["debit"]) for total in totals)
    if not at_least <= debit <= at_most:
        raise RequestFailed(f"the books hold {debit} cents, not {at_least} to {at_most}")
