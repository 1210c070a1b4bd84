"""Every command in the documents works, every link leads somewhere, every quoted word is said."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.api.gunicorn_server import concurrency
from appliance.errors import ExitCode
from appliance.postgres.config import sizes
from appliance.settings import Settings
from appliance.system.limits import MEBIBYTE, ResourceLimits
from tests.documents import markdown, messages, shell
from tests.documents.markdown import ROOT
from tests.harness.appliance import Appliance, two_free_ports
from tests.harness.command import COMMAND

DOCUMENTS = markdown.documents()
OPERATING = ROOT / "docs" / "operating.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
CLI = ROOT / "docs" / "cli.md"


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if shell.steps(d)], ids=name)
def test_the_commands_work_and_print_what_the_document_says(
    document: Path, make_appliance: Callable[..., Appliance]
) -> None:
    if (lacking := shell.lacking(document)) and not os.environ.get("CI"):
        pytest.skip(f"needs {' and '.join(lacking)}")
    # A document starts a second one, on the next port.
    appliance = make_appliance()
    appliance.use_port(two_free_ports())
    appliance.start().wait_until_up()
    printed = shell.run(document, appliance)
    for step, output in zip(shell.steps(document), printed, strict=True):
        if step.output is not None:
            assert shell.normal(output) == shell.normal(step.output), step.commands


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_command_block_is_run_or_says_why_not(document: Path) -> None:
    for block in markdown.blocks(document):
        if block.language == "sh":
            listed = block.note in (shell.RUN, shell.ENVIRONMENT)
            assert listed or block.note.startswith(shell.NOT_RUN), f"line {block.line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    for link in markdown.links(document):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in markdown.anchors(target), link


@pytest.mark.parametrize(
    ("document", "note", "arguments"),
    [(OPERATING, "appliance env", ["env"]), (CLI, "appliance --help", ["--help"])],
    ids=["operating.md", "cli.md"],
)
def test_what_the_program_prints_is_in_the_document_word_for_word(
    document: Path, note: str, arguments: list[str]
) -> None:
    printed = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=True)
    (block,) = [block for block in markdown.blocks(document) if block.note == note]
    assert block.text == printed.stdout, f"replace the block below <!-- {note} -->"


def test_the_table_of_sizes_is_computed() -> None:
    rows = re.findall(r"^\| (\d+) MiB \| (.+) \|$", OPERATING.read_text(encoding="utf-8"), re.M)
    assert len(rows) > 3
    for memory, row in rows:
        resources = ResourceLimits(int(memory) * MEBIBYTE, cpus=2)
        size = sizes(resources)
        workers, threads = concurrency(Settings(), resources)
        wanted = (
            f"{size.shared_buffers} | {size.work_mem} | {size.maintenance_work_mem} | "
            f"{size.max_connections} | {size.max_wal_size} | {workers} \u00d7 {threads}"
        )
        assert row == wanted, memory


def test_every_exit_code_is_documented() -> None:
    text = CLI.read_text(encoding="utf-8")
    assert all(re.search(rf"^ +{code.value}  ", text, re.M) for code in ExitCode)


def test_every_quoted_message_is_in_the_code() -> None:
    known = messages.everything()
    invented = [
        message
        for message in markdown.quoted_messages(TROUBLESHOOTING)
        if not any(template.fits(message) for template in known)
    ]
    assert invented == []


def test_every_error_of_the_code_is_explained() -> None:
    quoted = markdown.quoted_messages(TROUBLESHOOTING)
    unexplained = [
        f"{template.where}: {template.text}"
        for template in messages.errors()
        if not any(template.fits(message) for message in quoted)
    ]
    assert unexplained == [], "explain them in docs/troubleshooting.md"
