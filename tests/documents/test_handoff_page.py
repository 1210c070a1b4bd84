"""The page about the handoff: its limits are the code's, and what it has people try works."""

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import handoff
from tests.documents import markdown, messages
from tests.documents.markdown import ROOT
from tests.harness import speed
from tests.harness.appliance import Appliance

pytestmark = pytest.mark.time_limit(300)

PAGE = ROOT / "docs" / "handoff.md"
README = ROOT / "README.md"

_ROW = re.compile(
    r"^\| .+ \| (?P<seconds>[\d.]+) s \| `(?P<module>[\w.]+)\.(?P<name>\w+)` \|$", re.M
)
_LIMIT = re.compile(r"[A-Z_]+_(LIMIT|WITHIN)_S|LIMIT_S")
_LAST_CELL = re.compile(r"^\|.*\| (?P<seconds>[\d.]+) s \|$", re.M)
_OUR_LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z \w+ (?P<text>.+?)(?: \w+=\S+)*$", re.M)
_LOOP = "tests/documents/test_handoff_page.py runs it"


def limits() -> dict[str, float]:
    """The page's table of limits: the constant's full name, and the seconds."""
    _, _, below = PAGE.read_text(encoding="utf-8").partition("<!-- bounds -->")
    rows = _ROW.finditer(below)
    return {f"appliance.{row['module']}.{row['name']}": float(row["seconds"]) for row in rows}


def test_each_limit_on_the_page_is_the_constant_in_the_code() -> None:
    told = limits()
    assert len(told) > 8
    for full_name, seconds in told.items():
        module, _, name = full_name.rpartition(".")
        assert getattr(importlib.import_module(module), name) == seconds, full_name


def test_each_limit_of_the_handoff_s_code_is_on_the_page() -> None:
    modules = [f"{handoff.__name__}.{one.name}" for one in pkgutil.iter_modules(handoff.__path__)]
    there = {
        f"{module}.{name}"
        for module in modules
        for name, value in vars(importlib.import_module(module)).items()
        if _LIMIT.fullmatch(name) and isinstance(value, float)
    }
    assert there - limits().keys() == set()


def test_what_is_said_of_a_failure_is_one_of_the_limits() -> None:
    above, _, _ = PAGE.read_text(encoding="utf-8").partition("<!-- bounds -->")
    bounds = [float(cell["seconds"]) for cell in _LAST_CELL.finditer(above)]
    assert len(bounds) > 8
    assert set(bounds) <= set(limits().values())


def test_the_lines_of_a_log_on_the_page_are_the_program_s_words() -> None:
    known = messages.everything()
    for document in (PAGE, README):
        logs = "".join(b.text for b in markdown.blocks(document) if b.language == "text")
        for line in _OUR_LINE.finditer(logs):
            assert any(template.fits(line["text"]) for template in known), line["text"]


@pytest.mark.skipif(not shutil.which("curl") and not os.environ.get("CI"), reason="needs curl")
def test_a_client_in_a_loop_sees_nothing_of_the_handoff_that_the_page_lets_one_try(
    make_appliance: Callable[..., Appliance],
) -> None:
    first = make_appliance().start().wait_until_up()
    [loop] = [block for block in markdown.blocks(PAGE) if _LOOP in block.note]
    printed: list[str] = []
    terminal = threading.Thread(target=lambda: printed.append(in_a_terminal(loop.text, first)))
    terminal.start()
    second = make_appliance().start().wait_until_up()
    assert terminal.is_alive(), "the database moved while it ran"
    terminal.join()
    assert printed[0].split() == ["300", "200"]
    assert "300 200" in PAGE.read_text(encoding="utf-8")
    assert "handoff complete from=" in second.log


def in_a_terminal(commands: str, appliance: Appliance) -> str:
    """Run commands of the page as they are; returns what they print."""
    search = f"{Path(sys.executable).parent}:{appliance.environment['PATH']}"
    result = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{commands}"],
        cwd=ROOT,
        env={**appliance.environment, "PATH": search},
        capture_output=True,
        text=True,
        timeout=240 * speed.scale(),
        check=True,
    )
    return result.stdout
