"""The load generator: a closed loop of clients that all do the same."""

import uuid
from collections.abc import Callable
from typing import Any, Generic, Self

from load.client import Client, RequestFailed, Retry
from load.closed_loop import ClosedLoop
from load.connection import ANSWER_LIMIT_S
from load.http_request import HttpRequest
from load.outcomes import Exchange, Outcomes, RequestOutcome
from load.switch import B, Switch


class LoadGenerator(Generic[B]):
    """Clients at work while the `with` block lasts; what is in flight at its end is answered.

    `requests` says what the request with a number is. `think_time_s` is between an answer and the
    next request of its client. With `retry` it is an error if a request never succeeds.
    """

    def __init__(
        self,
        switch: Switch[B],
        key: str,
        requests: Callable[[int], HttpRequest],
        *,
        clients: int,
        think_time_s: float = 0.0,
        retry: Retry[B] | None = None,
        answer_limit_s: float = ANSWER_LIMIT_S,
    ) -> None:
        self.outcomes = Outcomes[B]()
        self._switch, self._requests = switch, requests
        self._think_time_s, self._retry = think_time_s, retry
        # No other run has it: what is known of an Idempotency-Key outlives its client.
        self._run = uuid.uuid4().hex[:8]
        self._clients = [Client(switch, key, retry, answer_limit_s) for _ in range(clients)]
        self._loop = ClosedLoop([self._turn_of(client) for client in self._clients])

    def __enter__(self) -> Self:
        self._loop.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        try:
            self._loop.__exit__(*problem)
        finally:
            for client in self._clients:
                client.close()

    def switch(self, *backends: B) -> None:
        """Send from now on to these, in turns."""
        self._switch.switch(*backends)

    def move(self, *backends: B) -> None:
        """Switch and drain, as the platform's proxy does."""
        self._switch.move(*backends)

    def _turn_of(self, client: Client[B]) -> Callable[[int], float]:
        def turn(number: int) -> float:
            exchange = client.send(self._requests(number), f"{self._run}-{number}")
            self.outcomes.record(exchange)
            self._note(exchange)
            return self._think_time_s

        return turn

    def _note(self, exchange: Exchange[B]) -> None:
        if self._retry and exchange.outcome is not RequestOutcome.ACKNOWLEDGED:
            raise RequestFailed(f"no success in {self._retry.limit_s:g} s: {exchange}")
