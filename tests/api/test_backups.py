"""Backups over HTTP: each route does what it says, and the audit has the key's name."""

import re

import requests

from tests.api.desk import Desk, problem, unused

LISTED = {
    *("name", "path", "destinations", "fault", "created_at", "size", "counts"),
    *("encrypted", "compressed"),
}


def test_a_backup_is_made_shown_listed_and_removed(desk: Desk) -> None:
    name = unused()
    made = desk.ask("POST", "", {"name": name})
    assert made.status_code == 201
    assert made.headers["location"] == f"/api/backup/{name}"
    shown = requests.get(
        desk.appliance.url + made.headers["location"],
        headers={"Authorization": f"Bearer {desk.key}"},
        timeout=60,
    )
    assert (shown.status_code, shown.json()) == (200, made.json())
    assert made.json().keys() > LISTED
    [listed] = [one for one in desk.ask("GET", "").json()["items"] if one["name"] == name]
    assert listed == {key: made.json()[key] for key in LISTED}
    gone = desk.ask("DELETE", f"/{name}")
    assert gone.status_code == 200
    assert gone.json()["bytes_freed"] >= made.json()["size"]
    assert problem(desk.ask("GET", f"/{name}")) == (404, "no-such-backup")
    assert desk.audited(name) == [(what, f"key {desk.name}", True) for what in ("create", "delete")]


def test_a_backup_says_what_is_in_it(desk: Desk) -> None:
    cash, sales = (account(desk, kind) for kind in ("asset", "income"))
    before = desk.make()["counts"]
    record(desk, cash, sales)
    backup = desk.make()
    assert backup["counts"] == {**before, "transactions": before["transactions"] + 1}
    assert (backup["encrypted"], backup["compressed"], backup["fault"]) == (False, True, None)
    assert backup["destinations"] == ["local"]
    assert backup["path"] == str(desk.appliance.storage.backups / backup["name"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", backup["created_at"])
    tables = {
        table["name"]: table["rows"] for one in backup["databases"] for table in one["tables"]
    }
    assert tables["public.transactions"] == backup["counts"]["transactions"]


def test_without_a_body_or_a_name_it_is_called_after_the_time(desk: Desk) -> None:
    for options in ({}, {"json": {}}, {"json": {"name": None}}, {"data": ""}):
        answer = desk.ask("POST", "", **options)
        assert answer.status_code == 201, answer.text
        assert re.fullmatch(r"appliance-\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}", answer.json()["name"])
        assert answer.headers["location"] == f"/api/backup/{answer.json()['name']}"


def test_pruning_keeps_the_newest(desk: Desk) -> None:
    names = [desk.make()["name"] for _ in range(3)]
    answer = desk.ask("POST", "/prune", {"keep": 2})
    assert answer.status_code == 200
    pruned = answer.json()
    assert pruned["retained_count"] == 2
    assert pruned["deleted_count"] == len(pruned["deleted_names"])
    assert names[0] in pruned["deleted_names"]
    assert pruned["bytes_freed"] > 0
    left = [one["name"] for one in desk.ask("GET", "").json()["items"]]
    assert left == [names[2], names[1]]


def test_a_verified_backup_is_proven_for_everyone_to_see(desk: Desk) -> None:
    name = desk.make()["name"]
    answer = desk.ask("POST", "/verify", {"name": name})
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"] is True
    assert answer.json()["tables"] > 5
    checks = requests.get(f"{desk.appliance.url}/ready", timeout=10).json()["checks"]
    proof = checks["backup"]["last_verified"]
    assert proof.pop("age_s") < 60
    assert proof == {**answer.json(), "removed": False}
    assert checks["backup"]["last_proof"]["name"] == name
    assert checks["backup"]["last_backup"]["name"] == name
    assert ("verify", f"key {desk.name}", True) in desk.audited(name)
    assert desk.ask("DELETE", f"/{name}").status_code == 200
    backup = requests.get(f"{desk.appliance.url}/ready", timeout=10).json()["checks"]["backup"]
    assert (backup["last_verified"]["name"], backup["last_verified"]["removed"]) == (name, True)
    assert backup["last_backup"] is None or backup["last_backup"]["name"] != name


def test_a_restore_brings_everything_back_as_it_was_and_needs_force_to(desk: Desk) -> None:
    cash, sales = (account(desk, kind) for kind in ("asset", "income"))
    record(desk, cash, sales)
    backup = desk.make()
    name, counts = backup["name"], backup["counts"]
    record(desk, cash, sales)
    late = desk.new_key(unused(), "--admin")
    for body in (None, {}, {"force": False}):
        refused = desk.ask("POST", f"/{name}/restore", body)
        assert problem(refused) == (409, "backup-conflict")
    answer = desk.ask("POST", f"/{name}/restore", {"force": True}, key=late)
    assert answer.status_code == 200, answer.text
    created_at = backup["created_at"]
    assert answer.json() == {"name": name, "restored": True, "created_at": created_at}
    assert desk.make()["counts"] == counts
    assert desk.ask("GET", "", key=late).status_code == 401, "that key is younger"
    assert desk.audited(name)[1][2] is False
    assert desk.audited(name)[-1][2] is True


def account(desk: Desk, kind: str) -> int:
    body = {"name": unused(), "kind": kind, "currency": "EUR"}
    answer = books(desk, "accounts", body)
    return int(answer.json()["id"])


def record(desk: Desk, cash: int, sales: int) -> None:
    postings = [{"account_id": cash, "amount": "1"}, {"account_id": sales, "amount": "-1"}]
    books(
        desk,
        "transactions",
        {"date": "2026-11-20", "description": "Sold a book", "postings": postings},
    )


def books(desk: Desk, what: str, body: object) -> requests.Response:
    """An admin key writes in the books like any other."""
    answer = requests.post(
        f"{desk.appliance.url}/api/{what}",
        json=body,
        headers={"Authorization": f"Bearer {desk.key}"},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return answer
