"""The document is true: a property-based client finds no difference between it and the answers."""

import json
import subprocess
import sys
from pathlib import Path

from tests.api.conftest import Books, Client, Server

HERE = Path(__file__).parent
EXAMPLES = 40


def test_a_property_based_client_finds_no_difference_between_document_and_answers(
    server: Server, books: Books
) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", HERE / "schemathesis.toml"),
            *("run", f"{server.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {books.client.key}"),
            *("--max-examples", str(EXAMPLES), "--generation-deterministic"),
            *("--continue-on-failure", "--no-color", "--warnings", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[1],
    )
    assert result.returncode == 0, result.stdout + result.stderr + server.log.read_text()
    assert "No issues found" in result.stdout, result.stdout


def test_every_operation_is_in_the_document_with_its_statuses(client: Client) -> None:
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert sorted(document["paths"]) == [
        "/api/accounts",
        "/api/accounts/{id}",
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
