"""The document is true: a property-based client finds no difference between it and the answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.backups.format import backup_name
from load.connection import ANSWER_LIMIT_S
from tests.api.backup_client import BackupClient
from tests.api.conftest import Books, Client, Server
from tests.harness.nightly import most_at_night

HERE = Path(__file__).parent
BACKUPS = "^/api/backup"


@pytest.mark.parametrize("examples", most_at_night([20, 40], [20]))
def test_a_property_based_client_finds_no_difference_between_document_and_answers(
    server: Server, books: Books, examples: int
) -> None:
    said = explore(server.url, books.client.key, examples, "--exclude-path-regex", BACKUPS)
    assert "No issues found" in said, said + server.log.read_text()


# A client that tries hundreds of requests, some of which make and restore backups.
@pytest.mark.time_limit(300)
# Each of them is work for the agent, of half a second at least.
@pytest.mark.parametrize("examples", most_at_night([1, 4], [1]))
def test_nor_does_it_where_backups_are_made_restored_and_removed(
    backup_client: BackupClient, examples: int
) -> None:
    # The client's own limit is below the one of a 202.
    limit = ("--request-timeout", str(ANSWER_LIMIT_S))
    options = ("--include-path-regex", BACKUPS, *limit)
    said = explore(backup_client.appliance.url, backup_client.key, examples, *options)
    assert "No issues found" in said, said + backup_client.appliance.log


def explore(url: str, key: str, examples: int, *options: str) -> str:
    """Have the client look for differences; returns its report."""
    result = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", HERE / "schemathesis.toml"),
            *("run", f"{url}/openapi.json", *options),
            *("--header", f"Authorization: Bearer {key}"),
            *("--max-examples", str(examples), "--generation-deterministic"),
            *("--continue-on-failure", "--no-color", "--warnings", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[1],
    )
    return result.stdout + result.stderr


def test_every_operation_is_in_the_document_with_its_statuses(client: Client) -> None:
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert sorted(document["paths"]) == [
        "/api/accounts",
        "/api/accounts/{id}",
        "/api/backup",
        "/api/backup-work/{id}",
        "/api/backup/prune",
        "/api/backup/verify",
        "/api/backup/{name}",
        "/api/backup/{name}/restore",
        "/api/transactions",
        "/api/transactions/{id}",
        "/api/trial-balance",
        "/health",
        "/ready",
        "/up",
    ]
    responses = document["paths"]["/api/transactions"]["post"]["responses"]
    assert {"201", "400", "401", "409", "413", "415", "422", "500", "503"} <= set(responses)
    assert set(responses["422"]["content"]) == {"application/problem+json"}
    assert "Retry-After" in responses["503"]["headers"]
    assert "Location" in responses["201"]["headers"]
    responses = document["paths"]["/api/backup"]["post"]["responses"]
    assert {"201", "202", "400", "403", "409", "422", "502", "503"} <= set(responses)
    assert "Location" in responses["202"]["headers"]
    verified = document["paths"]["/api/backup/verify"]["post"]["responses"]
    assert "Location" in verified["202"]["headers"]
    assert "Location" not in verified["200"]["headers"]
    [name] = document["paths"]["/api/backup/{name}"]["delete"]["parameters"]
    assert name["schema"]["pattern"] == f"^{backup_name.PATTERN}$"


def test_the_reader_page_works_without_a_network(client: Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    program = client.get("/docs/redoc.js")
    assert program.status_code == 200
    assert program.headers["content-type"].startswith("text/javascript")
    assert len(program.content) > 100_000


def test_whoever_comes_to_the_root_is_sent_to_the_reader(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")


def test_the_document_is_json_that_needs_no_key(client: Client) -> None:
    answer = client.get("/openapi.json", headers={"Authorization": None})
    assert answer.status_code == 200
    assert json.loads(answer.text)["info"]["version"]
