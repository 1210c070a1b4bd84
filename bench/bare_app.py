"""The least WSGI app that does our three requests: the same SQL, JSON in and out, nothing else.

No framework, no models, no log, no checks of what is sent. It imports nothing of ours: the
statements are those that our app was seen to send (bench.statements), from a file.
"""

import hashlib
import hmac
import json
import os
import uuid
from collections import deque
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

_SQL = json.loads(Path(os.environ["BARE_STATEMENTS"]).read_text())
_CONNECT: dict[str, Any] = {
    "host": os.environ["BARE_SOCKET_DIR"],
    "user": "app",
    "dbname": "appliance",
}
# Ours is written with $1 and so on, as the server has it.
_OPTIONS: dict[str, Any] = {"autocommit": True, "cursor_factory": psycopg.RawCursor}
_LARGEST_ID = 2**63 - 1

_idle: deque[Any] = deque()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer GET /up, GET /api/accounts/ID, GET /api/transactions and POST /api/transactions."""
    connection = _idle.pop() if _idle else psycopg.connect(**_CONNECT, **_OPTIONS)
    try:
        status, location, body = _answer(connection, environ)
    except BaseException:
        connection.close()
        raise
    _idle.append(connection)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if location:
        headers.append(("Location", location))
    start_response(status, headers)
    return [body]


def _answer(connection: Any, environ: dict[str, Any]) -> tuple[str, str | None, bytes]:
    path = environ["PATH_INFO"]
    if path == "/up":
        connection.execute("SELECT 1").fetchone()
        return "200 OK", None, b'{"status":"up"}'
    if environ["REQUEST_METHOD"] == "POST":
        return _write(connection, environ)
    if path.startswith("/api/accounts/"):
        return "200 OK", None, _account(connection, environ, int(path.rpartition("/")[2]))
    return "200 OK", None, _page(connection, environ)


def _identify(connection: Any, environ: dict[str, Any], sql: dict[str, str]) -> int:
    _, public_id, secret = environ["HTTP_AUTHORIZATION"].removeprefix("Bearer ").split("_", 2)
    row = connection.execute(sql["identify"], (public_id,)).fetchone()
    if not hmac.compare_digest(row[1], hashlib.sha256(secret.encode()).digest()):
        raise PermissionError(public_id)
    return int(row[0])


def _account(connection: Any, environ: dict[str, Any], number: int) -> bytes:
    sql = _SQL["account"]
    connection.execute(sql["begin"])
    _identify(connection, environ, sql)
    row = connection.execute(sql["account"], (number,)).fetchone()
    connection.execute(sql["commit"])
    names = ("id", "name", "kind", "currency", "created_at", "balance")
    return _json(dict(zip(names, row, strict=True)))


def _page(connection: Any, environ: dict[str, Any]) -> bytes:
    sql = _SQL["page"]
    limit = int(environ["QUERY_STRING"].partition("limit=")[2])
    connection.execute(sql["begin"])
    _identify(connection, environ, sql)
    rows = connection.execute(sql["page"], (_LARGEST_ID, limit + 1)).fetchall()
    connection.execute(sql["commit"])
    cursor = f"{rows[limit - 1][0]:016x}" if len(rows) > limit else None
    return _json({"items": [_transaction(row) for row in rows[:limit]], "next_cursor": cursor})


def _write(connection: Any, environ: dict[str, Any]) -> tuple[str, str | None, bytes]:
    sql = _SQL["write"]
    sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    new, key = json.loads(sent), environ["HTTP_IDEMPOTENCY_KEY"]
    accounts = [posting["account_id"] for posting in new["postings"]]
    amounts = [Decimal(posting["amount"]) for posting in new["postings"]]
    day = date.fromisoformat(new["date"])
    wanted = (accounts, amounts, day, new["description"], len(accounts))
    connection.execute(sql["begin"])
    client = _identify(connection, environ, sql)
    _, public_id, secret = environ["HTTP_AUTHORIZATION"].split("_", 2)
    secret_hash = hashlib.sha256(secret.encode()).digest()
    fingerprint = hashlib.sha256(b"/api/transactions\n" + sent).digest()
    connection.execute(sql["claim"], (key, fingerprint, public_id, secret_hash)).fetchone()
    number, created_at, currencies = connection.execute(sql["record"], wanted).fetchone()
    row = (number, day, new["description"], created_at, accounts, amounts, currencies)
    body, location = _json(_transaction(row)), f"/api/transactions/{number}"
    connection.execute(sql["keep"], (201, location, body, client, key))
    if "HTTP_X_COMMIT_TOKEN" in environ:
        connection.execute(sql["token"], (uuid.uuid4(),))
    connection.execute(sql["commit"])
    return "201 Created", location, body


def _transaction(row: tuple[Any, ...]) -> dict[str, Any]:
    number, day, description, created_at, accounts, amounts, currencies = row
    names = ("account_id", "amount", "currency")
    postings = zip(accounts, amounts, currencies, strict=True)
    return {
        "id": number,
        "date": day,
        "description": description,
        "postings": [dict(zip(names, posting, strict=True)) for posting in postings],
        "created_at": created_at,
    }


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, default=_text, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        text = value.astimezone(UTC).isoformat(timespec="microseconds")
        return text.replace("+00:00", "Z")
    return format(value, "f") if isinstance(value, Decimal) else value.isoformat()
