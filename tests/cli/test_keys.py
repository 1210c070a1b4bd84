"""API keys on the command line."""

import json
import re
from datetime import datetime

import pytest
import requests

from appliance.errors import ExitCode
from tests.harness.appliance import Appliance


def status_with(appliance: Appliance, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return requests.get(f"{appliance.url}/api/accounts", headers=headers, timeout=10).status_code


def test_a_new_key_stands_alone_on_the_last_line_and_works_until_it_is_revoked(
    running: Appliance,
) -> None:
    key = running.run("keys", "create", "phone").stdout.splitlines()[-1]
    assert re.fullmatch(r"ap_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    assert status_with(running, key) == 200
    said = running.run("keys", "revoke", "phone").stdout
    assert said == f"Revoked {key.split('_')[1]} (phone).\n"
    assert status_with(running, key) == 401


def test_the_list_shows_keys_and_never_their_secrets(running: Appliance) -> None:
    key = running.run("keys", "create", "list me").stdout.splitlines()[-1]
    running.run("keys", "revoke", "list me")
    text, document = (running.run("keys", "list", *extra).stdout for extra in ([], ["--json"]))
    public_id = key.split("_")[1]
    assert f"{public_id}  " in text
    assert "revoked 20" in text
    assert key[16:] not in text + document
    [found] = [entry for entry in json.loads(document) if entry["public_id"] == public_id]
    assert found["name"] == "list me"
    for moment in (found["created_at"], found["revoked_at"]):
        assert "T" in moment
        assert datetime.fromisoformat(moment).tzinfo is not None


def test_the_list_says_which_keys_are_an_admin_s(running: Appliance) -> None:
    for name, options in (("chief", ["--admin"]), ("clerk", [])):
        key = running.run("keys", "create", name, *options).stdout.splitlines()[-1]
        assert status_with(running, key) == 200
    lines = running.run("keys", "list").stdout.splitlines()
    assert [line.split()[-2:] for line in lines if line.endswith("chief")] == [["admin", "chief"]]
    assert [line.split()[-2:] for line in lines if line.endswith("clerk")] == [["live", "clerk"]]
    found = json.loads(running.run("keys", "list", "--json").stdout)
    assert {key["name"]: key["admin"] for key in found}.items() >= {
        "chief": True,
        "clerk": False,
    }.items()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["revoke", "nobody"], ExitCode.FAILURE, "There is no live key 'nobody'."),
        (["create", ""], ExitCode.USAGE, "'' cannot be the name of a key."),
        (["create", "a\nb"], ExitCode.USAGE, "cannot be the name of a key."),
        (["create", "x" * 101], ExitCode.USAGE, "1 to 100 printable characters"),
    ],
)
def test_a_wrong_name_is_a_sentence_with_a_next_step(
    running: Appliance, arguments: list[str], code: ExitCode, words: str
) -> None:
    said = running.run("keys", *arguments, check=False)
    assert said.returncode == code
    assert words in said.stderr
    assert len(said.stderr.splitlines()) == 2
    assert said.stdout == ""


def test_a_name_that_is_taken_is_refused_until_it_is_revoked(running: Appliance) -> None:
    running.run("keys", "create", "twice")
    again = running.run("keys", "create", "twice", check=False)
    assert again.returncode == ExitCode.FAILURE
    assert "appliance keys revoke twice" in again.stderr
    running.run("keys", "revoke", "twice")
    assert running.run("keys", "create", "twice").returncode == 0
