"""The commands of a document, run as one script; what each prints is kept apart."""

import itertools
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.documents.markdown import ROOT, Block, blocks
from tests.harness import speed
from tests.harness.appliance import Appliance

RUN = "run"
ENVIRONMENT = "run: environment"
NOT_RUN = "not run here: "

# Not every system has them.
PROGRAMS = ("age", "age-keygen", "curl")

# What differs from one run to the next: times and request ids.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")
_REQUEST_ID = re.compile(r'"request_id": "\w+"')


@dataclass(frozen=True)
class Step:
    """Commands, and what the document says they print (None: it does not say)."""

    commands: Block
    output: str | None


def steps(document: Path) -> list[Step]:
    """The blocks to run; a text or json block right after one without a note is its output."""
    found = []
    for block, after in itertools.pairwise([*blocks(document), Block("", "", "", 0)]):
        if block.language == "sh" and block.note in (RUN, ENVIRONMENT):
            # Laid out for reading or taken from a log, it is no literal output.
            literal = after.language == "json" and not after.note
            found.append(Step(block, after.text if literal else None))
    return found


def lacking(document: Path) -> list[str]:
    """The programs that its commands call and that this machine does not have."""
    commands = "".join(step.commands.text for step in steps(document))
    called = [name for name in PROGRAMS if re.search(rf"\b{name} ", commands)]
    return [name for name in called if not shutil.which(name)]


def run(document: Path, appliance: Appliance) -> list[str]:
    """Run every step in one bash in the project's folder; returns what each printed."""
    mark = f"mark-{uuid.uuid4().hex}"
    script = "set -euo pipefail\n" + "".join(
        f"{step.commands.text}\necho {mark}\n" for step in steps(document)
    )
    search = f"{Path(sys.executable).parent}:{appliance.environment['PATH']}"
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**appliance.environment, "PATH": search},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * speed.scale(),
        check=False,
    )
    assert result.returncode == 0, f"{document.name}:\n{result.stdout}\n{result.stderr}"
    return result.stdout.split(f"{mark}\n")[:-1]


def normal(text: str) -> str:
    """Text without what differs from run to run."""
    text = _REQUEST_ID.sub('"request_id": "ID"', _TIME.sub("TIME", text))
    # Answers of curl end without a line break.
    return re.sub(r"}\s*(?={)", "}\n", text).strip()
