"""One line for each request, which nobody can forge and which tells no secrets."""

import re

import pytest

from tests.api.conftest import Client

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z api "
    r'request method=(?P<method>[A-Z]+) path=(?P<path>"\S+"|[^\s"=]+) status=(?P<status>\d{3}) '
    r"duration_ms=\d+\.\d request_id=(?P<id>\S+) client=(?P<ip>\S+)"
)


def lines(capfd: pytest.CaptureFixture[str]) -> list[re.Match[str]]:
    """The log's lines, each of which must have the form of a request line."""
    found = [LINE.fullmatch(line) for line in capfd.readouterr().out.splitlines()]
    assert all(found)
    return [match for match in found if match]


def test_a_request_is_one_line(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/api/accounts", headers={"X-Request-Id": "abc", "X-Forwarded-For": "203.0.113.9"})
    (line,) = lines(capfd)
    assert line["method"] == "GET"
    assert line["path"] == "/api/accounts"
    assert line["status"] == "200"
    assert line["id"] == "abc"


@pytest.mark.parametrize(
    "path",
    [
        "/a%0A2026-11-20T13:00:00.123Z api request method=GET status=200 request_id=x client=y",
        "/a%20status=200%20request_id=forged%20client=6.6.6.6",
        "/a%22%20status=200%20request_id=forged",
        "/%1b%5b2J",
        "/%e2%80%a8x",
        "/%0d%0ax",
        "/" + "a" * 5000,
    ],
)
def test_a_path_can_forge_neither_lines_nor_fields(
    client: Client, capfd: pytest.CaptureFixture[str], path: str
) -> None:
    client.get(path.replace(" ", "%20"))
    (line,) = lines(capfd)
    assert line["status"] == "404"
    assert line["id"] not in ("x", "forged")
    assert len(line[0]) < 1000


def test_the_log_tells_no_query_header_body_or_key(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    client.get("/api/accounts", query_string="limit=7&cursor=hush-query")
    client.get("/health", headers={"Cookie": "hush-cookie", "User-Agent": "hush-agent"})
    client.post("/api/accounts", {"name": "hush-body", "kind": "asset", "currency": "EUR"})
    log = capfd.readouterr().out
    assert "hush" not in log
    assert client.key.split("_", 2)[2] not in log
