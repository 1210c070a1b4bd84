"""API keys: who may ask."""

import hashlib
import re

import pytest

from appliance.errors import ApplianceError
from appliance.web import api_keys
from tests.api.conftest import Client, Cluster, psycopg, rows


def status(client: Client, authorization: str | None) -> int:
    return client.get("/api/accounts", headers={"Authorization": authorization}).status_code


def test_a_live_key_is_let_in(client: Client) -> None:
    assert status(client, f"Bearer {client.key}") == 200
    assert status(client, f"bearer {client.key}") == 200


def test_everything_else_is_a_401_with_a_challenge(client: Client) -> None:
    prefix, public_id, secret = client.key.split("_", 2)
    wrong = "A" * 43
    for authorization in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {client.key}",
        f"Bearer {client.key}x",
        f"Bearer {prefix}_{public_id}_{wrong}",
        f"Bearer {prefix}_{'0' * 12}_{secret}",
        "Bearer ap_\x00",
        "Bearer " + "ä" * 20,
    ):
        answer = client.get("/api/accounts", headers={"Authorization": authorization})
        assert answer.status_code == 401, authorization
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


def test_who_may_not_ask_learns_nothing_about_the_question(client: Client) -> None:
    stranger = {"Authorization": "Bearer ap_" + "0" * 12 + "_" + "A" * 43}
    assert client.post("/api/accounts", "{", headers=stranger).status_code == 401
    assert client.get("/api/accounts/x", headers=stranger).status_code == 401
    query = client.get("/api/accounts", query_string="limit=0", headers=stranger)
    assert query.status_code == 401


def test_a_key_has_the_documented_form_and_only_its_hash_is_kept(empty: Cluster) -> None:
    with empty.connect("appliance") as owner:
        key = api_keys.create(owner, "form")
        kept = rows(owner, "SELECT * FROM appliance.api_keys")
    assert re.fullmatch(r"ap_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    secret = key.split("_", 2)[2]
    assert secret not in str(kept)
    assert hashlib.sha256(secret.encode()).digest() in kept[0]


def test_a_key_has_the_admin_right_only_if_it_was_made_with_it(empty: Cluster) -> None:
    with empty.connect("appliance") as owner:
        for admin in (True, False):
            key = api_keys.create(owner, f"admin {admin}", admin=admin)
            credentials = api_keys.read_key(key)
            assert credentials
            (caller,) = owner.run(api_keys.find_caller(credentials))
            assert (caller.name, caller.admin) == (f"admin {admin}", admin)
        assert [key.admin for key in api_keys.list_keys(owner)] == [True, False]


def test_an_older_version_makes_and_reads_keys_beside_the_new_column(empty: Cluster) -> None:
    with empty.connect("appliance") as owner:
        owner.execute(
            "INSERT INTO appliance.api_keys (public_id, name, secret_hash) "
            "VALUES ('0123456789ab', 'old', sha256('x'))"
        )
        assert [key.admin for key in api_keys.list_keys(owner)] == [False]


def test_a_revoked_key_is_refused_at_once(client: Client, empty: Cluster) -> None:
    assert status(client, f"Bearer {client.key}") == 200
    with empty.connect("appliance") as owner:
        revoked = api_keys.revoke(owner, "test")
    assert revoked.revoked_at is not None
    assert status(client, f"Bearer {client.key}") == 401


def test_a_key_is_revoked_by_its_public_part_too(client: Client, empty: Cluster) -> None:
    with empty.connect("appliance") as owner:
        assert api_keys.revoke(owner, client.key.split("_")[1]).name == "test"
        with pytest.raises(ApplianceError, match="no live key"):
            api_keys.revoke(owner, "test")


def test_names_are_unique_among_live_keys(empty: Cluster) -> None:
    with empty.connect("appliance") as owner:
        api_keys.create(owner, "robot")
        with pytest.raises(ApplianceError, match="exists already"):
            api_keys.create(owner, "robot")
        api_keys.revoke(owner, "robot")
        api_keys.create(owner, "robot")
        assert [key.name for key in api_keys.list_keys(owner)] == ["robot", "robot"]


@pytest.mark.parametrize("name", ["", "x" * 101, " a", "a\n", "\x00"])
def test_a_name_that_cannot_be_shown_is_refused(empty: Cluster, name: str) -> None:
    with empty.connect("appliance") as owner, pytest.raises(ApplianceError, match="name of a key"):
        api_keys.create(owner, name)


def test_the_api_itself_cannot_make_or_change_keys(empty: Cluster, key: str) -> None:
    with empty.connect() as app:
        for statement in (
            "INSERT INTO appliance.api_keys (public_id, name, secret_hash) VALUES ('a', 'b', '')",
            "UPDATE appliance.api_keys SET revoked_at = NULL",
            "DELETE FROM appliance.api_keys",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)


def test_a_strangers_question_is_not_even_asked(client: Client, empty: Cluster) -> None:
    with empty.connect("appliance") as owner, owner.transaction():
        owner.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        client.key = f"{client.key[:-4]}AAAA"
        assert client.get("/api/accounts/1").status_code == 401


def test_a_stranger_waits_for_nobodys_idempotency_key(client: Client, empty: Cluster) -> None:
    with empty.connect("appliance") as owner, owner.transaction():
        owner.execute(
            "INSERT INTO appliance.idempotency_keys (api_key_id, key, fingerprint) "
            "SELECT id, 'taken', sha256('') FROM appliance.api_keys"
        )
        client.key = f"{client.key[:-4]}AAAA"
        body = {"name": "Cash", "kind": "asset", "currency": "EUR"}
        answer = client.post("/api/accounts", body, headers={"Idempotency-Key": "taken"})
        assert answer.status_code == 401
