"""Backups over HTTP: who may not, what cannot be, and what is wrong with it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pyrage
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups import audit
from appliance.backups.format import backup_name
from load.connection import KeptConnection
from load.http_request import HttpRequest
from tests.api.backup_client import BackupClient, problem, unused
from tests.api.conftest import Server
from tests.harness.appliance import Appliance
from tests.harness.examples import tries

ROUTES = [
    ("POST", "", None),
    ("POST", "", {"name": ".bad"}),
    ("GET", "", None),
    ("GET", "/any", None),
    ("GET", "/.bad", None),
    ("DELETE", "/any", None),
    ("POST", "/prune", {"keep": 1}),
    ("POST", "/prune", {"keep": 0}),
    ("POST", "/verify", {"name": "any"}),
    ("POST", "/any/restore", {"force": True}),
]
SECRET, PASSPHRASE = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "horse staple battery correct 4711"

VALID = st.from_regex(backup_name.PATTERN, fullmatch=True).filter(
    lambda n: n not in backup_name.RESERVED
)
INVALID = st.one_of(
    st.text(max_size=150), st.sampled_from([".a", "a b", "../up", "a\n", "a" * 129, "ä", "verify"])
).filter(lambda text: not backup_name.is_name(text))


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_only_a_key_with_the_admin_right_may(
    backup_client: BackupClient, method: str, path: str, body: object
) -> None:
    before = audit.tail(backup_client.appliance.storage, 1000)
    ordinary = backup_client.ask(method, path, body, key=backup_client.appliance.key())
    assert problem(ordinary) == (403, "admin-only")
    assert "keys create NAME --admin" in ordinary.json()["detail"]
    wrong = f"ap_{'0' * 12}_{'A' * 43}"
    assert backup_client.ask(method, path, body, key=wrong).status_code == 401
    nobody = requests.request(method, f"{backup_client.appliance.url}/api/backup{path}", timeout=10)
    assert nobody.status_code == 401
    assert audit.tail(backup_client.appliance.storage, 1000) == before


@tries(60)
@given(name=INVALID)
def test_what_is_no_name_is_a_400_in_the_body(backup_client: BackupClient, name: str) -> None:
    for path in ("", "/verify"):
        answer = backup_client.ask("POST", path, {"name": name})
        assert problem(answer) == (400, "bad-backup-name"), name


@tries(60)
@given(name=INVALID.filter(lambda name: "/" not in name and name not in backup_name.RESERVED))
def test_what_is_no_name_is_a_400_in_the_path(backup_client: BackupClient, name: str) -> None:
    # Not every client sends dots and percent signs as they are.
    connection = KeptConnection(backup_client.appliance.port)
    part = "".join(f"%{byte:02X}" for byte in name.encode())
    for method, path in (("GET", part), ("DELETE", part), ("POST", f"{part}/restore")):
        request = HttpRequest("what is no name", method, f"/api/backup/{path}")
        answer = connection.ask(request.message(backup_client.key))
        assert answer.status == 400, answer
    connection.close()


@tries(10)
@given(name=VALID)
def test_what_is_a_name_is_not_refused_as_none(backup_client: BackupClient, name: str) -> None:
    assert problem(backup_client.ask("GET", f"/{quote(name)}")) == (404, "no-such-backup")


def test_a_backup_that_does_not_exist_is_a_404(backup_client: BackupClient) -> None:
    name = unused()
    for method, path, body in (
        ("GET", f"/{name}", None),
        ("DELETE", f"/{name}", None),
        ("POST", "/verify", {"name": name}),
        ("POST", f"/{name}/restore", {"force": True}),
    ):
        answer = backup_client.ask(method, path, body)
        assert problem(answer) == (404, "no-such-backup")
        assert answer.json()["detail"].endswith("List the backups to see which there are.")


def test_work_that_nobody_began_is_a_404(backup_client: BackupClient) -> None:
    for work in ("0123456789abcdef", "x", "0123456789ABCDEF"):
        answer = backup_client.work(f"/api/backup-work/{work}")
        assert problem(answer) == (404, "no-such-work"), work
    ordinary = backup_client.work(
        "/api/backup-work/0123456789abcdef", key=backup_client.appliance.key()
    )
    assert problem(ordinary) == (403, "admin-only")


def test_a_name_that_is_taken_is_a_409(backup_client: BackupClient) -> None:
    name = backup_client.make()["name"]
    assert problem(backup_client.ask("POST", "", {"name": name})) == (409, "backup-conflict")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/prune", {"keep": 0}),
        ("/prune", {"keep": "1"}),
        ("/prune", {}),
        ("/verify", {}),
        ("/verify", {"name": 1}),
        ("", {"name": 1}),
        ("", {"nmae": "a"}),
        ("/any/restore", {"force": "true"}),
    ],
)
def test_a_body_of_another_form_is_a_422(
    backup_client: BackupClient, path: str, body: object
) -> None:
    assert problem(backup_client.ask("POST", path, body)) == (422, "validation")


def test_a_path_that_is_a_verb_is_not_a_name(backup_client: BackupClient) -> None:
    for verb in ("prune", "verify"):
        assert backup_client.ask("GET", f"/{verb}").status_code == 405
        assert backup_client.ask("POST", f"/{verb}").status_code == 415


def test_an_altered_backup_is_a_422_and_changes_nothing(backup_client: BackupClient) -> None:
    backup = backup_client.make()
    file = next(Path(backup["path"], "databases", "appliance").glob("*.zst"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    for path, body in (
        ("/verify", {"name": backup["name"]}),
        (f"/{backup['name']}/restore", {"force": True}),
    ):
        answer = backup_client.ask("POST", path, body)
        assert problem(answer) == (422, "backup-damaged")
        assert "was altered" in answer.json()["detail"]
    assert backup_client.make()["counts"] == backup["counts"]


def test_a_backup_whose_manifest_is_broken_is_shown_with_its_fault(
    backup_client: BackupClient,
) -> None:
    backup = backup_client.make()
    Path(backup["path"], "manifest.json").write_text("{")
    shown = backup_client.ask("GET", f"/{backup['name']}")
    assert shown.status_code == 200
    assert "cannot be read" in shown.json()["fault"]
    assert "Use another backup" in shown.json()["fault"]
    assert shown.json()["created_at"] is None
    assert backup["name"] in [one["name"] for one in backup_client.ask("GET", "").json()["items"]]
    assert backup_client.ask("DELETE", f"/{backup['name']}").status_code == 200


def test_without_the_key_an_encrypted_backup_is_a_422(
    make_appliance: Callable[..., Appliance],
) -> None:
    public = str(pyrage.x25519.Identity.generate().to_public())
    backup_client = BackupClient(make_appliance(BACKUP_RECIPIENTS=public).start().wait_until_up())
    backup = backup_client.make()
    assert (backup["encrypted"], backup["recipients"]) == (True, [public])
    for path, body in (
        ("/verify", {"name": backup["name"]}),
        (f"/{backup['name']}/restore", {"force": True}),
    ):
        assert problem(backup_client.ask("POST", path, body)) == (422, "backup-key-refused")


def test_a_destination_that_is_away_is_a_502_and_no_secret_is_told(
    make_appliance: Callable[..., Appliance], tmp_path: Path
) -> None:
    nas = tmp_path / "nas"
    nas.mkdir(mode=0o777)
    nas.chmod(0o777)
    tmp_path.chmod(0o755)
    appliance = make_appliance(
        BACKUP_DESTINATIONS=f"nas={nas}",
        BACKUP_S3_SECRET_ACCESS_KEY=SECRET,
        BACKUP_PASSPHRASE=PASSPHRASE,
    )
    backup_client = BackupClient(appliance.start().wait_until_up())
    backup = backup_client.make()
    assert (backup["passphrase"], backup["destinations"]) == (True, ["local", "nas"])
    told = [str(backup)]
    shutil.move(nas, tmp_path / "elsewhere")
    listed, shown = backup_client.ask("GET", ""), backup_client.ask("GET", f"/{backup['name']}")
    assert listed.json()["items"][0]["destinations"] == shown.json()["destinations"] == ["local"]
    assert [f"{nas}" in away for away in listed.json()["away"]] == [True]
    refused = backup_client.ask("DELETE", f"/{backup['name']}")
    assert problem(refused) == (502, "destination-unusable")
    told += [answer.text for answer in (listed, shown, refused)]
    for secret in (SECRET, PASSPHRASE, backup_client.key.split("_", 2)[2]):
        assert secret not in "".join(told) + appliance.log


def test_without_an_agent_it_is_a_503(server: Server, admin_key: str) -> None:
    headers = {"Authorization": f"Bearer {admin_key}"}
    answer = requests.get(f"{server.url}/api/backup", headers=headers, timeout=30)
    assert problem(answer) == (503, "backups-unavailable")
    assert answer.headers["retry-after"] == "5"
