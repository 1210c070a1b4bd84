"""What is asked of the books before and after a load."""

import json
import uuid
from typing import Any

from load.client import Client
from load.http_request import HttpRequest, get
from load.switch import B

TRIAL_BALANCE = get("/api/trial-balance")
READS = (TRIAL_BALANCE, get("/api/accounts"))


def open_accounts(client: Client[B], *names: str) -> list[int]:
    """Open accounts; returns their ids."""
    return [_open_account(client, name) for name in names]


def transactions(client: Client[B]) -> list[dict[str, Any]]:
    """Everything that is recorded, page by page."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        path = f"/api/transactions?limit=200{after and f'&cursor={after}'}"
        page = client.ask(get(path)).document
        found += page["items"]
        after = page["next_cursor"]
    return found


def trial_balance(client: Client[B]) -> dict[str, Any]:
    """The proof that the books balance."""
    return dict(client.ask(TRIAL_BALANCE).document)


def _open_account(client: Client[B], name: str) -> int:
    body = json.dumps({"name": name, "kind": "asset", "currency": "EUR"})
    request = HttpRequest("open an account", "POST", "/api/accounts", 201, body)
    return int(client.ask(request, uuid.uuid4().hex).document["id"])
