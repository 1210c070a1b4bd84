"""Clients that record transactions and do not give up: the same key until there is an answer."""

from contextlib import ExitStack
from functools import partial
from typing import Any

from load import bookkeeping
from load.client import Attempt, Client, Retry
from load.closed_loop import ClosedLoop
from load.switch import Switch
from load.writes import Writes, sale
from tests.scenarios.service import Service

RETRY_FOR_S = 120.0
RETRY_INTERVAL_S = 0.1
# No answer, or the service or the proxy in front of it says: not now.
TRY_AGAIN = frozenset({0, 502, 503, 504})


class Bookkeeper:
    """Records numbered transactions, each under an Idempotency-Key of its own."""

    def __init__(self, service: Service) -> None:
        self.writes = Writes()
        self._switch, self._key = Switch(service), service.key()
        with self._make_client() as client:
            self._accounts = bookkeeping.open_accounts(client, "Cash", "Sales")

    def record(self, count: int, clients: int) -> None:
        """Record transactions 0 to count - 1, by several clients at once."""
        with ExitStack() as stack:
            made = [stack.enter_context(self._make_client()) for _ in range(clients)]
            ClosedLoop([partial(self._record_one, client) for client in made], count).run()

    def recorded(self) -> list[dict[str, Any]]:
        """Every transaction that the books hold."""
        with self._make_client() as client:
            return bookkeeping.transactions(client)

    def trial_balance(self) -> dict[str, Any]:
        """The proof that the books balance."""
        with self._make_client() as client:
            return bookkeeping.trial_balance(client)

    def _record_one(self, client: Client[Service], number: int) -> None:
        entry = sale(number, self._accounts)
        self.writes.note_sent(entry)
        response = client.ask(entry.request, f"transaction-{number}")
        self.writes.note_acknowledged(entry, response.document["id"])

    def _make_client(self) -> Client[Service]:
        return Client(self._switch, self._key, Retry(_excuse, RETRY_INTERVAL_S, RETRY_FOR_S))


def _excuse(attempt: Attempt[Service]) -> str | None:
    """A client cannot know what became of a request that was lost."""
    return "not now" if attempt.response.status in TRY_AGAIN else None
