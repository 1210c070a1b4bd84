"""The two commands of README.md, where a newcomer stands: NEWCOMER_SYSTEMS names more systems."""

import os
import re

import pytest

from tests.newcomer.conftest import Arrive
from tests.newcomer.newcomer import ROOT, Newcomer

# Debian 13 has the least of what Postgres loads.
ALWAYS = [("trixie", "newcomer")]
SYSTEMS = os.environ.get("NEWCOMER_SYSTEMS", "").split()
ARRIVALS = [(suite, user) for suite in SYSTEMS for user in ("root", "newcomer")]
SMOKE = "tests/postgres/test_initdb.py tests/storage/test_takeover.py"

# Packages and wheels come over the network.
pytestmark = pytest.mark.time_limit(900)


@pytest.mark.parametrize(("suite", "user"), ARRIVALS or ALWAYS)
def test_set_up_says_in_one_line_what_is_missing_and_then_it_serves(
    arrive: Arrive, suite: str, user: str
) -> None:
    newcomer = arrive(suite, user)
    install(newcomer, "apt-get update && apt-get install -y make python3")
    said = newcomer.run("make up")
    assert said.code == 2, said.stdout
    [line] = re.findall(r"^Install them: (.+)$", said.stdout, re.MULTILINE)
    assert "libxml2" in line
    install(newcomer, line)
    served = newcomer.serve()
    assert served.code == 0, served.stdout


@pytest.mark.skipif(not SYSTEMS, reason="NEWCOMER_SYSTEMS (bookworm trixie noble) names no system")
@pytest.mark.parametrize(("suite", "user"), ARRIVALS)
def test_what_the_readme_asks_for_is_enough_for_both_commands(
    arrive: Arrive, suite: str, user: str
) -> None:
    newcomer = arrive(suite, user)
    install(newcomer, readme_line())
    served = newcomer.serve()
    assert served.code == 0, served.stdout
    tested = newcomer.run(f"make test ARGS='{SMOKE}'")
    assert tested.code == 0, tested.stdout
    assert re.search(r"\d+ passed", tested.stdout), tested.stdout


def readme_line() -> str:
    """What README.md tells a newcomer to type; who is root already needs no sudo."""
    [line] = re.findall(r"^sudo apt-get .+$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return str(line).replace("sudo ", "")


def install(newcomer: Newcomer, line: str) -> None:
    """Type that line as root: for root, `su -c` asks for no password."""
    said = newcomer.run(line, user="root")
    assert said.code == 0, said.stdout
