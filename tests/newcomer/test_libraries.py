"""What set-up looks for is what the programs of Postgres load."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.newcomer.newcomer import ROOT

SCRIPT = ROOT / "scripts" / "missing_packages.py"
NAME = re.compile(rb"\0(lib[\w.+-]+\.so\.\d+)(?=\0)")
# Part of every Linux that this runs on, or of Postgres itself.
THERE = {"libc.so.6", "libm.so.6", "libpq.so.5", "libecpg.so.6", "libpgtypes.so.3"}


def test_set_up_looks_for_each_library_that_a_program_of_postgres_loads() -> None:
    programs = (Path(sys.prefix) / "postgresql" / "bin").iterdir()
    loaded = {name.decode() for path in programs for name in NAME.findall(path.read_bytes())}
    assert loaded - THERE == set(runpy.run_path(str(SCRIPT))["LIBRARIES"])


def test_nothing_is_said_where_nothing_is_missing() -> None:
    said = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("path", ["/usr/bin", "/nowhere"])
def test_a_module_and_a_library_that_are_missing_are_both_named(tmp_path: Path, path: str) -> None:
    without = "import importlib.util, runpy, sys; importlib.util.find_spec = lambda name: None; "
    script = f"{without}runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert said.stdout.startswith("setup: this system lacks ctypes, ensurepip, venv.")
    has_apt = (Path(path) / "apt-get").exists()
    package = f"python3.{sys.version_info.minor}-venv"
    assert (package in said.stdout.splitlines()[1]) == has_apt
