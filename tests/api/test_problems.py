"""Every error answer is a problem document with a request id, and nasty input is never a 5xx."""

import json
import re
from collections.abc import Callable

import pytest
from falcon.testing import Result

from tests.api.conftest import Books, Client, Cluster


def shape(answer: Result) -> dict[str, object]:
    """Check what every problem has, and return it."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, object] = answer.json
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def test_an_unknown_path_is_a_404(client: Client) -> None:
    answer = client.get("/nothing/here")
    assert answer.status_code == 404
    shape(answer)


def test_an_unsupported_method_is_a_405_that_names_the_supported_ones(client: Client) -> None:
    answer = client.request("DELETE", "/api/accounts")
    assert answer.status_code == 405
    shape(answer)
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


def test_malformed_json_is_a_400(client: Client) -> None:
    for body in ("{", "", "[1,", '{"a": nul}', "[" * 5000):
        answer = client.post("/api/accounts", body)
        assert answer.status_code == 400, body[:20]
        assert shape(answer)["type"] == "urn:appliance:problem:malformed-json"


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "", "application/jsonx"])
def test_another_media_type_is_a_415(client: Client, media_type: str) -> None:
    answer = client.post("/api/accounts", {}, headers={"Content-Type": media_type})
    assert answer.status_code == 415
    shape(answer)


def test_a_media_type_may_have_parameters(client: Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    document = {"name": "Cash", "kind": "asset", "currency": "EUR"}
    assert client.post("/api/accounts", document, headers=headers).status_code == 201


def test_a_body_beyond_the_limit_is_a_413(make_client: Callable[..., Client]) -> None:
    client = make_client(max_body_bytes=1024)
    answer = client.post("/api/accounts", '"' + "a" * 1023 + '"')
    assert answer.status_code == 413
    shape(answer)
    assert client.post("/api/accounts", '"' + "a" * 1022 + '"').status_code == 422


def test_a_broken_rule_is_a_422_that_points_at_the_place(books: Books) -> None:
    postings = [{"account_id": "1", "amount": "1"}, {"account_id": 2, "amount": 1.5, "no": 0}]
    answer = books.client.post("/api/transactions", books.transaction(postings=postings))
    assert answer.status_code == 422
    errors = shape(answer)["errors"]
    assert isinstance(errors, list)
    assert [error["pointer"] for error in errors] == [
        "/postings/0/account_id",
        "/postings/1/amount",
        "/postings/1/no",
    ]
    assert "decimal string" in errors[1]["message"]


def test_an_unexpected_error_reveals_nothing_and_logs_a_traceback(
    client: Client, empty: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    with empty.connect("appliance") as owner:
        owner.execute("ALTER TABLE accounts RENAME TO hidden")
    try:
        answer = client.get("/api/accounts", headers={"X-Request-Id": "find-me"})
    finally:
        with empty.connect("appliance") as owner:
            owner.execute("ALTER TABLE hidden RENAME TO accounts")
    assert answer.status_code == 500
    assert "accounts" not in json.dumps(shape(answer))
    log = capfd.readouterr().out
    assert "error in request id=find-me" in log
    assert "UndefinedTable" in log


@pytest.mark.parametrize("inbound", ["a", "A.b_c-9" * 9, "0" * 64])
def test_a_harmless_request_id_is_kept(client: Client, inbound: str) -> None:
    answer = client.get("/health", headers={"X-Request-Id": inbound})
    assert answer.headers["x-request-id"] == inbound


@pytest.mark.parametrize("inbound", ["", "0" * 65, "a b", "a\tb", "ä", "a;b"])
def test_any_other_request_id_is_replaced(client: Client, inbound: str) -> None:
    answer = client.get("/health", headers={"X-Request-Id": inbound})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "path",
    [
        "/api/accounts/0",
        "/api/accounts/-1",
        "/api/accounts/1e3",
        "/api/accounts/9223372036854775808",
        "/api/accounts/" + "9" * 3000,
        "/api/accounts/%00",
        "/api/accounts/%ff%fe",
        "/api/accounts/%F0%9F%92%A9",
        "/api/accounts/\u0661",
        "/%2e%2e/etc/passwd",
    ],
)
def test_nasty_paths_are_404s(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    shape(answer)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=1e2",
        "limit=1_0",
        "limit=+5",
        "limit=%2B5",
        "limit=",
        "limit=NaN",
        "limit=1&limit=2",
        "limit=" + "9" * 3000,
        "cursor=",
        "cursor=zz",
        "cursor=ffffffffffffffff",
        "cursor=%00",
        "cursor=%ff",
        "account_id=0",
        "account_id=9223372036854775808",
        "account_id=1,2",
        "unknown=1",
        "%00=1",
    ],
)
def test_nasty_queries_are_422s(client: Client, query: str) -> None:
    answer = client.get("/api/transactions", query_string=query)
    assert answer.status_code == 422
    shape(answer)


@pytest.mark.parametrize(
    "change",
    [
        '"name": "a\\u0000b"',
        '"name": "\\ud800"',
        '"name": "\x7f"',
        '"name": ""',
        '"name": ' + json.dumps("x" * 201),
        '"name": ["a"]',
        '"name": NaN',
        '"kind": "ASSET"',
        '"kind": null',
        '"currency": "eur"',
        '"currency": "EUR\\n"',
        '"currency": 1e999999',
        '"extra": 1',
    ],
)
def test_nasty_accounts_are_refused(client: Client, change: str) -> None:
    document = '{"name": "a", "kind": "asset", "currency": "EUR", ' + change + "}"
    answer = client.post("/api/accounts", document)
    assert answer.status_code in (400, 422)
    shape(answer)


@pytest.mark.parametrize("body", [b"\xff\xfe", b'{"name": "\xc3\x28"}', b"\xef\xbb\xbf{}", b"\x00"])
def test_bytes_that_are_not_utf8_json_are_400s(client: Client, body: bytes) -> None:
    answer = client.request(
        "POST", "/api/accounts", body=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    shape(answer)


@pytest.mark.parametrize(
    "amount",
    [
        *('"0"', '"0.00"', '"-0"', '"1e3"', '"+1"', '".5"', '"5."', '"01"', '"1,5"', '" 1"'),
        *('"1\\n"', '"NaN"', '"Infinity"', '"1000000000000000"', '"0.000000001"', '"\u0661"'),
        *('""', "1", "1.5", "NaN", "null", "true", '["1"]', '"' + "9" * 5000 + '"', "9" * 5000),
    ],
)
def test_nasty_amounts_are_refused(books: Books, amount: str) -> None:
    document = json.dumps(books.transaction("7")).replace('"7"', amount)
    answer = books.client.post("/api/transactions", document)
    assert answer.status_code in (400, 422)
    shape(answer)


@pytest.mark.parametrize(
    "date",
    ["0000-01-01", "10000-01-01", "2026-02-30", "2026-1-1", "20261120", "infinity", "", 1, None],
)
def test_nasty_dates_are_refused(books: Books, date: object) -> None:
    answer = books.client.post("/api/transactions", books.transaction(date=date))
    assert answer.status_code == 422
    shape(answer)


@pytest.mark.parametrize("date", ["0001-01-01", "9999-12-31", "2024-02-29"])
def test_every_date_of_the_calendar_is_kept(books: Books, date: str) -> None:
    answer = books.client.post("/api/transactions", books.transaction(date=date))
    assert answer.status_code == 201
    assert answer.json["date"] == date
