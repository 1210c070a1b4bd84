"""Double entry: what the API records, and what it refuses."""

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.apps.books.models import AccountBalance
from appliance.apps.books.trial_balance import add_up
from appliance.apps.books.values import Kind
from tests.api.conftest import Books, Client

LARGEST = "999999999999999.99999999"


def test_an_account_is_opened_once_in_each_currency(client: Client) -> None:
    cash = {"name": "Cash", "kind": "asset", "currency": "EUR"}
    first = client.post("/api/accounts", cash)
    assert first.status_code == 201
    assert first.headers["location"] == f"/api/accounts/{first.json['id']}"
    assert client.get(first.headers["location"]).json == {**first.json, "balance": "0"}
    again = client.post("/api/accounts", {**cash, "kind": "income"})
    assert again.status_code == 409
    assert again.json["type"] == "urn:appliance:problem:account-exists"
    assert client.post("/api/accounts", {**cash, "currency": "USD"}).status_code == 201


def test_a_transaction_is_recorded_as_it_was_written(books: Books) -> None:
    answer = books.record("12.50")
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/transactions/{answer.json['id']}"
    assert answer.json["postings"] == [
        {"account_id": books.cash, "amount": "12.50", "currency": "EUR"},
        {"account_id": books.sales, "amount": "-12.50", "currency": "EUR"},
    ]
    assert answer.json["created_at"].endswith("Z")
    assert books.client.get(answer.headers["location"]).json == answer.json
    assert books.client.get(f"/api/accounts/{books.sales}").json["balance"] == "-12.50"


@pytest.mark.parametrize("amount", ["0.00000001", "1.10000000", "100", LARGEST, "-0.10"])
def test_the_digits_of_an_amount_are_kept_without_an_exponent(books: Books, amount: str) -> None:
    number = books.record(amount).json["id"]
    kept = books.client.get(f"/api/transactions/{number}").json
    assert kept["postings"][0]["amount"] == amount


def test_an_unknown_account_is_a_422_that_points_at_it(books: Books) -> None:
    postings = [
        {"account_id": books.cash, "amount": "1"},
        {"account_id": 2**63 - 1, "amount": "-1"},
    ]
    answer = books.client.post("/api/transactions", books.transaction(postings=postings))
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/postings/1/account_id"


def test_what_does_not_balance_is_a_422(books: Books) -> None:
    postings = [
        {"account_id": books.cash, "amount": "0.30000000"},
        {"account_id": books.sales, "amount": "-0.30000001"},
    ]
    answer = books.client.post("/api/transactions", books.transaction(postings=postings))
    assert answer.status_code == 422
    assert answer.json["type"] == "urn:appliance:problem:unbalanced-transaction"
    assert books.client.get("/api/transactions").json["items"] == []


def test_every_currency_balances_by_itself(books: Books) -> None:
    dollars = books.client.account("Dollars", currency="USD")
    other = books.client.account("Other", currency="USD")
    crossed = [(books.cash, "1"), (dollars, "-1")]
    exchange = [*crossed, (other, "1"), (books.sales, "-1")]
    post = books.client.post
    assert (
        post("/api/transactions", books.transaction(postings=_postings(crossed))).status_code == 422
    )
    assert (
        post("/api/transactions", books.transaction(postings=_postings(exchange))).status_code
        == 201
    )


def test_two_hundred_postings_are_the_most(books: Books) -> None:
    pair = books.transaction("1")["postings"]
    post = books.client.post
    assert post("/api/transactions", books.transaction(postings=pair * 100)).status_code == 201
    assert post("/api/transactions", books.transaction(postings=pair * 101)).status_code == 422
    assert post("/api/transactions", books.transaction(postings=pair[:1])).status_code == 422


def test_the_trial_balance_is_zero_in_every_currency(books: Books) -> None:
    dollars = [books.client.account(name, currency="USD") for name in ("A", "B")]
    books.record("12.50")
    books.record("-2.25")
    Books(books.client, *dollars).record(LARGEST)
    balance = books.client.get("/api/trial-balance").json
    assert balance["balanced"] is True
    assert balance["totals"] == [
        {"currency": "EUR", "debit": "10.25", "credit": "10.25", "difference": "0.00"},
        {"currency": "USD", "debit": LARGEST, "credit": LARGEST, "difference": "0.00000000"},
    ]
    assert [account["balance"] for account in balance["accounts"][:2]] == ["10.25", "-10.25"]


def test_empty_books_balance(client: Client) -> None:
    assert client.get("/api/trial-balance").json == {
        "balanced": True,
        "totals": [],
        "accounts": [],
    }


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=8), max_size=50))
def test_totals_are_exact_however_large(balances: list[Decimal]) -> None:
    with localcontext(prec=200):
        expected = sum(balances, Decimal(0))
        accounts = [_balance(balance) for balance in [*balances, -expected]]
        totals = add_up(accounts)
    assert [total.difference for total in totals] == [0]


def test_pages_follow_each_other_without_a_gap_while_others_insert(books: Books) -> None:
    numbers = [books.record().json["id"] for _ in range(7)]
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = books.client.get("/api/transactions", params=query).json
        seen += [item["id"] for item in page["items"]]
        books.record("0.01")
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == numbers[::-1]


def test_accounts_are_listed_from_the_oldest_without_a_gap_while_others_insert(
    client: Client,
) -> None:
    numbers = [client.account(f"Account {n}") for n in range(5)]
    first = client.get("/api/accounts", query_string="limit=2").json
    client.account("Meanwhile")
    rest = client.get("/api/accounts", query_string=f"cursor={first['next_cursor']}").json
    seen = [item["id"] for item in first["items"] + rest["items"]]
    assert seen[:5] == numbers
    assert len(seen) == 6
    assert rest["next_cursor"] is None


def test_transactions_are_listed_by_account(books: Books) -> None:
    other = books.client.account("Other")
    mine = [books.record().json["id"] for _ in range(3)]
    Books(books.client, books.sales, other).record()
    listed = books.client.get("/api/transactions", query_string=f"account_id={books.cash}&limit=2")
    assert [item["id"] for item in listed.json["items"]] == mine[:0:-1]
    assert books.client.get("/api/transactions", query_string="account_id=999").json == {
        "items": [],
        "next_cursor": None,
    }


def test_what_is_not_there_is_a_404(client: Client) -> None:
    for path in ("/api/accounts/1", "/api/transactions/9223372036854775807"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json["detail"].startswith("There is no")


def _balance(amount: Decimal) -> AccountBalance:
    return AccountBalance(account_id=1, name="a", kind=Kind.ASSET, currency="EUR", balance=amount)


def _postings(pairs: list[tuple[int, str]]) -> list[dict[str, Any]]:
    return [{"account_id": account, "amount": amount} for account, amount in pairs]
