"""The SQL of our three requests, recorded while our own app serves them.

So the bare app cannot drift from ours: a statement that changes here changes there, and one that
is added, dropped or moved stops the bench until the bare app does the same.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import falcon.testing

from appliance.api.app import create_app
from appliance.apps.books.books import BOOKS
from appliance.database.connect import Connection, connect
from appliance.database.pipeline import Query
from appliance.database.units_of_work import Database
from appliance.migrations.schema_check import SchemaGate
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from bench.books import ACCOUNT, PAGE, WRITE
from load.http_request import HttpRequest

# What each statement is for, in the order in which our app sends them.
_PURPOSES = {
    "account": (ACCOUNT, "begin identify account commit"),
    "page": (PAGE, "begin identify page commit"),
    "write": (WRITE, "begin identify claim record keep token commit"),
}
_MARKS = {
    "begin": "BEGIN",
    "identify": "api_keys",
    "account": "FROM accounts",
    "page": "FROM transactions",
    "claim": "INSERT INTO appliance.idempotency_keys",
    "record": "INSERT INTO transactions",
    "keep": "UPDATE appliance.idempotency_keys",
    "token": "appliance.commit_tokens",
    "commit": "COMMIT",
}


def record(storage: Storage, key: str) -> dict[str, dict[str, str]]:
    """Serve each request once, in this process, and return its statements by purpose."""
    seen: list[str] = []
    recording = cast(Connection, _Recording(connect(storage, config.API_ROLE), seen))
    database = Database(lambda: recording, storage.socket, hold_seconds=5.0)
    settings = Settings(storage_dir=storage.root)
    gate = SchemaGate(database, load_tracks(BOOKS.tracks(), None), skip=True)
    client = falcon.testing.TestClient(create_app(settings, storage, database, gate, BOOKS))
    found = {}
    for name, (request, purposes) in _PURPOSES.items():
        seen.clear()
        with _quiet():
            if request.method == "GET":
                # The first time that a path sees a key, it is looked at by itself.
                _serve(client, request, key)
                seen.clear()
            _serve(client, request, key)
        found[name] = _name(name, purposes.split(), seen)
    database.close()
    return found


class _Recording:
    """A connection that writes down what it executes."""

    def __init__(self, connection: Connection, seen: list[str]) -> None:
        self._connection = connection
        self._seen = seen

    def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        self._seen.append(query)
        return self._connection.execute(query, *arguments, **options)

    def run(self, *queries: Query[Any]) -> list[Any]:
        self._seen.extend(query.statement for query in queries)
        return self._connection.run(*queries)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the app's request log, which goes straight to descriptor 1."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _serve(client: falcon.testing.TestClient, request: HttpRequest, key: str) -> None:
    path, _, query = request.path.partition("?")
    result = client.simulate_request(
        request.method,
        path,
        query_string=query,
        headers=request.headers(key, number="recorded"),
        body=request.body or None,
    )
    assert result.status_code == request.status, result.text


def _name(request: str, purposes: list[str], seen: list[str]) -> dict[str, str]:
    matched = len(seen) == len(purposes) and all(
        _MARKS[purpose] in statement for purpose, statement in zip(purposes, seen, strict=True)
    )
    if not matched:
        raise SystemExit(
            f"Our app's statements for {request!r} are no longer {purposes}: {seen}. "
            "Bring bench/bare_app.py and bench/statements.py up to date."
        )
    return dict(zip(purposes, seen, strict=True))
