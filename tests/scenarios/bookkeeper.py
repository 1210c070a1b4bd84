"""Clients that record transactions and do not give up: the same key until there is an answer."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.scenarios.service import Service

RETRY_FOR_S = 120.0
RETRY_INTERVAL_S = 0.1
# The service or the proxy in front of it says: not now.
TRY_AGAIN = frozenset({502, 503, 504})


class Bookkeeper:
    """Records numbered transactions, each under an Idempotency-Key of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.acknowledged: dict[int, int] = {}
        self.tries = 0
        self._key = service.key()
        self._changed = threading.Condition()
        self._accounts = [
            self._open_account("Cash", "asset"),
            self._open_account("Sales", "income"),
        ]

    def record(self, count: int, clients: int) -> None:
        """Record transactions 0 to count - 1, by several clients at once."""
        with ThreadPoolExecutor(clients) as pool:
            for future in [
                pool.submit(self._client, range(n, count, clients)) for n in range(clients)
            ]:
                future.result()

    def wait_for_acknowledged(self, count: int) -> None:
        """Wait until so many are acknowledged."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= count, RETRY_FOR_S)

    def recorded(self) -> list[dict[str, Any]]:
        """Every transaction that the books hold, page by page."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] | None = {"limit": 200}
        while query:
            page = self.service.call("GET", "/api/transactions", params=query).json()
            found += page["items"]
            query = {"limit": 200, "cursor": page["next_cursor"]} if page["next_cursor"] else None
        return found

    def trial_balance(self) -> dict[str, Any]:
        """The proof that the books balance."""
        answer: dict[str, Any] = self.service.call("GET", "/api/trial-balance").json()
        return answer

    def _client(self, numbers: range) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {self._key}"
            for number in numbers:
                self._record_one(session, number)

    def _record_one(self, session: requests.Session, number: int) -> None:
        answer = self._insist(session, f"transaction-{number}", transaction(number, self._accounts))
        assert answer.status_code == 201, answer.text
        with self._changed:
            self.acknowledged[number] = answer.json()["id"]
            self._changed.notify_all()

    def _insist(
        self, session: requests.Session, idempotency_key: str, body: dict[str, Any]
    ) -> requests.Response:
        """Send it until there is an answer. A client cannot know what became of a lost request."""
        deadline = time.monotonic() + RETRY_FOR_S
        headers = {"Idempotency-Key": idempotency_key}
        while True:
            self.tries += 1
            try:
                url = f"{self.service.url}/api/transactions"
                answer = session.post(url, json=body, headers=headers, timeout=35)
                if answer.status_code not in TRY_AGAIN:
                    return answer
            except requests.RequestException:
                assert time.monotonic() < deadline, f"no answer in {RETRY_FOR_S:g} s"
            time.sleep(RETRY_INTERVAL_S)

    def _open_account(self, name: str, kind: str) -> int:
        body = {"name": name, "kind": kind, "currency": "EUR"}
        answer = self.service.call("POST", "/api/accounts", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])


def transaction(number: int, accounts: list[int]) -> dict[str, Any]:
    """The body of a transaction: its number is its description and its amount in cents."""
    amount = f"{(number + 1) // 100}.{(number + 1) % 100:02d}"
    return {
        "date": "2026-11-20",
        "description": f"Sale {number}",
        "postings": [
            {"account_id": accounts[0], "amount": amount},
            {"account_id": accounts[1], "amount": f"-{amount}"},
        ],
    }
