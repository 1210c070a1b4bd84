"""Clients that keep books: half of their requests write, half read, and each is sent once."""

from load import bookkeeping
from load.client import Client
from load.generator import LoadGenerator
from load.http_request import HttpRequest
from load.outcomes import Exchange
from load.switch import B, Switch
from load.writes import Writes, sale

LIMIT_S = 30.0


class BooksLoad(LoadGenerator[B]):
    """What was written is known, and can be checked afterwards.

    Every wait is over after `limit_s` at most, with a TimeoutError.
    """

    def __init__(
        self, *backends: B, key: str, clients: int, think_time_s: float, limit_s: float = LIMIT_S
    ) -> None:
        switch = Switch(*backends, limit_s=limit_s)
        super().__init__(switch, key, self._choose, clients=clients, think_time_s=think_time_s)
        self.writes = Writes()
        self._key, self._count, self._limit_s = key, clients, limit_s
        with Client(switch, key) as client:
            self._accounts = bookkeeping.open_accounts(client, "Cash", "Sales")

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until each backend in use has answered so many more."""
        self.outcomes.wait_for_more(count, self._switch.backends, self._limit_s)

    def wait_until_stalled(self, seconds: float) -> None:
        """Wait until every client has waited so long for an answer."""
        self._switch.wait_until_stalled(self._count, seconds)

    def verify(self, through: B, *, failures: bool = False) -> None:
        """Check the books against what was sent and answered; call it after the `with` block.

        With `failures` some requests may have failed; what they said must be true nevertheless.
        """
        assert failures or not self.outcomes.failures, self.outcomes.story()
        with Client(Switch(through), self._key) as client:
            recorded = bookkeeping.transactions(client)
            faults = self.writes.check(recorded, bookkeeping.trial_balance(client))
        assert faults == []

    def _choose(self, number: int) -> HttpRequest:
        if number % 2:
            return bookkeeping.READS[number // 2 % len(bookkeeping.READS)]
        entry = sale(number, self._accounts)
        self.writes.note_sent(entry)
        return entry.request

    def _note(self, exchange: Exchange[B]) -> None:
        self.writes.note(exchange)
