"""Backups over HTTP: each route does what it says, and the audit has the key's name."""

import re
from typing import Any

import requests

from tests.api.backup_client import BackupClient, problem, unused

LISTED = {
    *("name", "path", "destinations", "fault", "created_at", "size", "counts"),
    *("encrypted", "compressed"),
}


def test_a_backup_is_made_shown_listed_and_removed(backup_client: BackupClient) -> None:
    name = unused()
    made = backup_client.ask("POST", "", {"name": name})
    assert made.status_code == 201
    assert made.headers["location"] == f"/api/backup/{name}"
    shown = requests.get(
        backup_client.appliance.url + made.headers["location"],
        headers={"Authorization": f"Bearer {backup_client.key}"},
        timeout=60,
    )
    assert (shown.status_code, shown.json()) == (200, made.json())
    assert made.json().keys() > LISTED
    [listed] = [one for one in backup_client.ask("GET", "").json()["items"] if one["name"] == name]
    assert listed == {key: made.json()[key] for key in LISTED}
    gone = backup_client.ask("DELETE", f"/{name}")
    assert gone.status_code == 200
    assert gone.json()["bytes_freed"] >= made.json()["size"]
    assert problem(backup_client.ask("GET", f"/{name}")) == (404, "no-such-backup")
    assert backup_client.audited(name) == [
        (what, f"key {backup_client.name}", True) for what in ("create", "delete")
    ]


def test_a_backup_says_what_is_in_it(backup_client: BackupClient) -> None:
    cash, sales = (account(backup_client, kind) for kind in ("asset", "income"))
    before = backup_client.make()["counts"]
    record(backup_client, cash, sales)
    backup = backup_client.make()
    assert backup["counts"] == {**before, "transactions": before["transactions"] + 1}
    assert (backup["encrypted"], backup["compressed"], backup["fault"]) == (False, True, None)
    assert backup["destinations"] == ["local"]
    assert backup["path"] == str(backup_client.appliance.storage.backups / backup["name"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", backup["created_at"])
    tables = {
        table["name"]: table["rows"] for one in backup["databases"] for table in one["tables"]
    }
    assert tables["public.transactions"] == backup["counts"]["transactions"]


def test_without_a_body_or_a_name_it_is_called_after_the_time(backup_client: BackupClient) -> None:
    ways: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"name": None}}, {"data": ""}]
    for options in ways:
        answer = backup_client.ask("POST", "", **options)
        assert answer.status_code == 201, answer.text
        assert re.fullmatch(r"appliance-\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}", answer.json()["name"])
        assert answer.headers["location"] == f"/api/backup/{answer.json()['name']}"


def test_pruning_keeps_the_newest(backup_client: BackupClient) -> None:
    # Other tests share the appliance, and a damaged backup of theirs would be left beside.
    for other in backup_client.ask("GET", "").json()["items"]:
        assert backup_client.ask("DELETE", f"/{other['name']}").status_code == 200
    names = [backup_client.make()["name"] for _ in range(3)]
    answer = backup_client.ask("POST", "/prune", {"keep": 2})
    assert answer.status_code == 200
    pruned = answer.json()
    assert pruned["retained_count"] == 2
    assert pruned["deleted_count"] == len(pruned["deleted_names"])
    assert names[0] in pruned["deleted_names"]
    assert pruned["bytes_freed"] > 0
    left = [one["name"] for one in backup_client.ask("GET", "").json()["items"]]
    assert left == [names[2], names[1]]


def test_a_verified_backup_is_proven_for_everyone_to_see(backup_client: BackupClient) -> None:
    name = backup_client.make()["name"]
    answer = backup_client.ask("POST", "/verify", {"name": name})
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"] is True
    assert answer.json()["tables"] > 5
    checks = requests.get(f"{backup_client.appliance.url}/ready", timeout=10).json()["checks"]
    proof = checks["backup"]["last_verified"]
    assert proof.pop("age_s") < 60
    assert proof == {**answer.json(), "removed": False}
    assert checks["backup"]["last_proof"]["name"] == name
    assert checks["backup"]["last_backup"]["name"] == name
    assert ("verify", f"key {backup_client.name}", True) in backup_client.audited(name)
    assert backup_client.ask("DELETE", f"/{name}").status_code == 200
    backup = requests.get(f"{backup_client.appliance.url}/ready", timeout=10).json()["checks"][
        "backup"
    ]
    assert (backup["last_verified"]["name"], backup["last_verified"]["removed"]) == (name, True)
    assert backup["last_backup"] is None or backup["last_backup"]["name"] != name


def test_a_restore_brings_everything_back_as_it_was_and_needs_force_to(
    backup_client: BackupClient,
) -> None:
    cash, sales = (account(backup_client, kind) for kind in ("asset", "income"))
    record(backup_client, cash, sales)
    backup = backup_client.make()
    name, counts = backup["name"], backup["counts"]
    record(backup_client, cash, sales)
    late = backup_client.new_key(unused(), "--admin")
    for body in (None, {}, {"force": False}):
        refused = backup_client.ask("POST", f"/{name}/restore", body)
        assert problem(refused) == (409, "backup-conflict")
    answer = backup_client.ask("POST", f"/{name}/restore", {"force": True}, key=late)
    assert answer.status_code == 200, answer.text
    created_at = backup["created_at"]
    assert answer.json() == {"name": name, "restored": True, "created_at": created_at}
    assert backup_client.make()["counts"] == counts
    assert backup_client.ask("GET", "", key=late).status_code == 401, "that key is younger"
    assert backup_client.audited(name)[1][2] is False
    assert backup_client.audited(name)[-1][2] is True


def account(backup_client: BackupClient, kind: str) -> int:
    body = {"name": unused(), "kind": kind, "currency": "EUR"}
    answer = books(backup_client, "accounts", body)
    return int(answer.json()["id"])


def record(backup_client: BackupClient, cash: int, sales: int) -> None:
    postings = [{"account_id": cash, "amount": "1"}, {"account_id": sales, "amount": "-1"}]
    books(
        backup_client,
        "transactions",
        {"date": "2026-11-20", "description": "Sold a book", "postings": postings},
    )


def books(backup_client: BackupClient, what: str, body: object) -> requests.Response:
    """An admin key writes in the books like any other."""
    answer = requests.post(
        f"{backup_client.appliance.url}/api/{what}",
        json=body,
        headers={"Authorization": f"Bearer {backup_client.key}"},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return answer
