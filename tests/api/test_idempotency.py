"""Idempotency-Key: the first answer again, and nothing done twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.web import api_keys, idempotency
from tests.api.conftest import Books, Client, Cluster, psycopg, rows

KEY = {"Idempotency-Key": "order-1"}


def count(cluster: Cluster, table: str = "transactions") -> int:
    with cluster.connect() as app:
        return len(rows(app, f"TABLE {table}"))


def test_the_same_key_and_body_bring_the_first_answer_again(books: Books, empty: Cluster) -> None:
    first = books.record(headers=KEY)
    again = books.record(headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert count(empty) == 1


def test_another_body_is_a_409(books: Books, empty: Cluster) -> None:
    books.record("1", headers=KEY)
    answer = books.record("2", headers=KEY)
    assert answer.status_code == 409
    assert answer.json["type"] == "urn:appliance:problem:idempotency-key-reused"
    assert count(empty) == 1


def test_another_route_is_a_409(client: Client) -> None:
    body = {"name": "Cash", "kind": "asset", "currency": "EUR"}
    assert client.post("/api/accounts", body, headers=KEY).status_code == 201
    # The same bytes would be refused as a transaction; that must not matter.
    books = Books(client, 1, client.account("Sales"))
    assert books.record(headers=KEY).status_code == 409


def test_keys_belong_to_the_api_key_that_sent_them(books: Books, empty: Cluster) -> None:
    with empty.connect("appliance") as owner:
        other = api_keys.create(owner, "other")
    books.record(headers=KEY)
    answer = books.record(headers={**KEY, "Authorization": f"Bearer {other}"})
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers
    assert count(empty) == 2


def test_a_refusal_does_not_use_the_key_up(books: Books, empty: Cluster) -> None:
    refused = books.client.post(
        "/api/transactions", {**books.transaction(), "postings": []}, headers=KEY
    )
    unbalanced = books.transaction()
    unbalanced["postings"][0]["amount"] = "1"
    refused_later = books.client.post("/api/transactions", unbalanced, headers=KEY)
    assert (refused.status_code, refused_later.status_code) == (422, 422)
    assert books.record(headers=KEY).status_code == 201
    assert count(empty) == 1


def test_duplicates_at_the_same_time_are_done_once(books: Books, empty: Cluster) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: books.record(headers=KEY), range(24)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert count(empty) == 1
    assert count(empty, "postings") == 2


def test_different_keys_at_the_same_time_are_all_done(books: Books, empty: Cluster) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = ({"Idempotency-Key": f"order-{number}"} for number in range(24))
        answers = list(threads.map(lambda headers: books.record(headers=headers), keys))
    assert {answer.status_code for answer in answers} == {201}
    assert count(empty) == 24


@pytest.mark.parametrize("text", ["", "x" * 256, "a b", "ä", "a\tb"])
def test_a_key_that_is_none_is_a_422(books: Books, text: str) -> None:
    answer = books.record(headers={"Idempotency-Key": text})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["parameter"] == "Idempotency-Key"


def test_the_longest_key_is_taken(books: Books) -> None:
    assert books.record(headers={"Idempotency-Key": "~" * 255}).status_code == 201


def test_old_answers_are_forgotten(books: Books, empty: Cluster) -> None:
    books.record(headers=KEY)
    with empty.connect("appliance") as owner:
        assert idempotency.prune(owner, older_than_days=1) == 0
        owner.execute("UPDATE appliance.idempotency_keys SET created_at = now() - interval '2 day'")
        assert idempotency.prune(owner, older_than_days=1) == 1


def test_the_api_cannot_free_a_key(books: Books, empty: Cluster) -> None:
    books.record(headers=KEY)
    with empty.connect() as app:
        for statement in (
            "DELETE FROM appliance.idempotency_keys",
            "UPDATE appliance.idempotency_keys SET key = 'another'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
