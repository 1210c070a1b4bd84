"""One client: its connections, and what it does when an attempt fails."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self
from urllib.parse import urlsplit

from load.connection import ANSWER_LIMIT_S, KeptConnection, Response
from load.http_request import HttpRequest
from load.outcomes import Exchange, RequestOutcome
from load.switch import B, Switch

# One backend gets several requests in a row, so that among several each gets every kind.
_IN_A_ROW = 4


class RequestFailed(AssertionError):  # noqa: N818 - it says what became of a request
    """A request was not answered as it must be."""


@dataclass(frozen=True)
class Attempt(Generic[B]):
    """A request that was sent once. `since` and `until` are of the monotonic clock."""

    backend: B
    since: float
    until: float
    response: Response


@dataclass(frozen=True)
class Retry(Generic[B]):
    """When a request is sent again: while `excuse` says why an attempt was in vain.

    After `pause_s` seconds, and for `limit_s` seconds at most.
    """

    excuse: Callable[[Attempt[B]], str | None]
    pause_s: float
    limit_s: float


class Client(Generic[B]):
    """Sends requests, one at a time; without `retry` each once. Close it, or use `with`."""

    def __init__(
        self,
        switch: Switch[B],
        key: str,
        retry: Retry[B] | None = None,
        limit_s: float = ANSWER_LIMIT_S,
    ) -> None:
        self._switch, self._key, self._retry, self._limit_s = switch, key, retry, limit_s
        self._kept: dict[B, KeptConnection] = {}
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: HttpRequest, number: str = "") -> Response:
        """Send it; raises RequestFailed if the answer is not as it must be."""
        exchange = self.send(request, number)
        if exchange.outcome is not RequestOutcome.ACKNOWLEDGED:
            raise RequestFailed(str(exchange))
        return exchange.response

    def send(self, request: HttpRequest, number: str = "") -> Exchange[B]:
        """Send it, with `number` as its Idempotency-Key, and return what became of it."""
        began, retried = time.monotonic(), list[str]()
        message = request.message(self._key, number)
        self._sent += 1
        while True:
            attempt = self._attempt(message)
            why = self._excuse(attempt, request, began)
            if why is None:
                break
            retried.append(why)
            time.sleep(self._retry.pause_s if self._retry else 0)
        until, response = time.monotonic(), attempt.response
        return Exchange(request, number, attempt.backend, began, until, response, tuple(retried))

    def close(self) -> None:
        """Close all connections."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()

    def _excuse(self, attempt: Attempt[B], request: HttpRequest, began: float) -> str | None:
        if self._retry is None or attempt.response.status == request.status:
            return None
        in_time = attempt.until - began < self._retry.limit_s
        return self._retry.excuse(attempt) if in_time else None

    def _attempt(self, message: bytes) -> Attempt[B]:
        with self._switch.request(self._sent // _IN_A_ROW) as backend:
            kept, since = self._to(backend), time.monotonic()
            try:
                if kept.is_stale():
                    # A proxy that had just sent a request on it would have lost that one.
                    since = kept.used_at
                    kept.close()
                    raise ConnectionAbortedError("a kept connection was closed")
                response = kept.ask(message)
            except OSError as error:
                response = Response(0, b"", f"{type(error).__name__}: {error}".encode())
            return Attempt(backend, since, time.monotonic(), response)

    def _to(self, backend: B) -> KeptConnection:
        if backend not in self._kept:
            self._forget_all_but(self._switch.backends)
            port = urlsplit(backend.url).port
            assert port is not None, backend.url
            self._kept[backend] = KeptConnection(port, self._limit_s)
        return self._kept[backend]

    def _forget_all_but(self, backends: tuple[B, ...]) -> None:
        for old in [one for one in self._kept if one not in backends]:
            self._kept.pop(old).close()
