"""The page that reads the API document, in a real browser."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.api.app import document
from appliance.apps.books.books import BOOKS
from tests.api.conftest import Server
from tests.harness import speed

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --enable-logging=stderr --v=0 "
    "--virtual-time-budget=20000 --dump-dom"
)

pytestmark = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="needs the browser chromium"
)


@pytest.fixture
def page(server: Server, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """What the browser made of the page: its document, and what it had to say on stderr."""
    assert BROWSER, "no browser, although this is CI"
    command = [BROWSER, *OPTIONS.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    return subprocess.run(
        [*command, f"{server.url}/docs"],
        capture_output=True,
        text=True,
        timeout=120 * speed.scale(),
        check=True,
    )


def test_the_reader_shows_every_operation_and_breaks_no_rule_of_its_own(
    page: "subprocess.CompletedProcess[str]",
) -> None:
    summaries = [
        operation["summary"]
        for path in document(BOOKS, BOOKS.routes())["paths"].values()
        for operation in path.values()
        if "summary" in operation
    ]
    assert len(summaries) > 5
    assert [summary for summary in summaries if summary not in page.stdout] == []
    complaints = [line for line in page.stderr.splitlines() if "CONSOLE" in line]
    # The reader wants its maker's logo; our policy sees to it that nothing is asked of others.
    assert [line for line in complaints if "cdn.redoc.ly/redoc/logo-mini.svg" not in line] == []
