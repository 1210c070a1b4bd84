"""Starts `child` and reads what it says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def start(spec: dict[str, Any], action: str, folder: Path) -> "subprocess.Popen[str]":
    """A process that does it with the destination of a place."""
    command = [sys.executable, "-m", "tests.backups.destinations.child"]
    return subprocess.Popen(
        [*command, json.dumps(spec), action, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def peak_bytes(spec: dict[str, Any], action: str, folder: Path) -> int:
    """The most memory it had while it did so."""
    with start(spec, action, folder) as process:
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return int(printed)


def kill_in_the_middle(spec: dict[str, Any], folder: Path) -> None:
    """SIGKILL a process that stores, when it is in the middle of a large file."""
    with start(spec, "hang", folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        process.kill()
