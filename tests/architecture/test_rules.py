"""Who may do what: each rule names the only modules in which a thing occurs."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = sorted((ROOT / "appliance").rglob("*.py"))
LOAD = sorted((ROOT / "load").rglob("*.py"))
EVERYTHING = [*PROGRAM, *LOAD, *sorted((ROOT / "tests").rglob("*.py"))]
LONGEST_FILE = 400
PROCESS_CALLS = ("exec", "fork", "spawn", "posix_spawn", "system", "popen")

# An archive of Debian or Ubuntu, or an index of Python packages.
MIRROR = re.compile(r"://[\w.:-]+/(?:debian|ubuntu|simple|pypi)\b|\b(?:pypi|pythonhosted)\.org\b")

# A rule that is ignored in a line, and nothing after it.
NO_REASON = re.compile(
    r"# (?:noqa\b(?:: [A-Z\d, ]+)?|type: ignore\b(?:\[[a-z, -]+\])?)$", re.MULTILINE
)

Occurs = Callable[[ast.AST], bool]


def attribute_of_os(*names: str) -> Occurs:
    """Uses of os.NAME, or of a name imported from os, that begin with one of these."""

    def occurs(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return node.value.id == "os" and node.attr.startswith(names)
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            return any(alias.name.startswith(names) for alias in node.names)
        return False

    return occurs


def imports_of(*names: str) -> Occurs:
    """Imports of one of these modules."""

    def occurs(node: ast.AST) -> bool:
        if isinstance(node, ast.Import):
            return any(alias.name.partition(".")[0] in names for alias in node.names)
        return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in names

    return occurs


def text_with(part: str) -> Occurs:
    """String constants that hold a text; a docstring may speak of it."""
    return lambda node: (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and part in node.value
    )


def text_of(*texts: str) -> Occurs:
    """String constants that are one of these."""
    return lambda node: isinstance(node, ast.Constant) and node.value in texts


def name_of(*names: str) -> Occurs:
    """Names and attributes, imported or used."""
    return lambda node: (
        (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.alias) and node.name in names)
    )


def modules_where(occurs: Occurs) -> set[str]:
    """The modules of the program in which it occurs, as paths below `appliance`."""
    return {
        str(file.relative_to(ROOT / "appliance"))
        for file in PROGRAM
        if any(occurs(node) for node in nodes(file))
    }


@cache
def parsed(file: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


def nodes(file: Path) -> Iterator[ast.AST]:
    """Everything in a file but docstrings."""
    tree = parsed(file)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return (node for node in ast.walk(tree) if id(node) not in docstrings)


@pytest.mark.parametrize(
    ("occurs", "allowed"),
    [
        pytest.param(
            attribute_of_os("environ", "getenv", "putenv"),
            {"settings/exporting.py", "settings/environment.py"},
            id="the environment is read in settings only",
        ),
        pytest.param(
            imports_of("subprocess", "multiprocessing", "pty"),
            {"system/process.py"},
            id="processes are started in process only",
        ),
        pytest.param(
            attribute_of_os(*PROCESS_CALLS), {"system/process.py"}, id="exec is called there only"
        ),
        pytest.param(
            imports_of("fcntl", "filelock"),
            {"storage/lock.py"},
            id="locks are taken in lock only",
        ),
        pytest.param(
            text_with("/storage"), {"storage/paths.py"}, id="paths are known to storage only"
        ),
        pytest.param(
            text_of("taken", "stopping", "was_heir", "lowest", "accepted"),
            {"handoff/messages.py"},
            id="messages between containers are in one file",
        ),
        pytest.param(
            text_of("steward", "appliance backup", "appliance status", "appliance doctor"),
            {"database/application_names.py"},
            id="names that Postgres knows us by are in one file",
        ),
        pytest.param(name_of("TYPE_CHECKING"), set(), id="no import hides from the layers"),
        pytest.param(name_of("link", "hardlink_to"), set(), id="no hardlinks"),
        pytest.param(imports_of("tests", "bench", "load"), set(), id="the program knows no tests"),
    ],
)
def test_it_occurs_only_where_it_may(occurs: Occurs, allowed: set[str]) -> None:
    assert modules_where(occurs) == allowed


def test_names_on_the_volume_are_in_two_files_only() -> None:
    written = {"storage/paths.py", "storage/instances.py"}
    name = re.compile(r"\.?[a-z-]+(\.[a-z-]+)*\.(json|jsonl|lock|sock)")
    names = {
        node.value
        for file in written
        for node in nodes(ROOT / "appliance" / file)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and name.fullmatch(node.value)
    }
    assert {"owner.lock", "heir.json", "alive.lock", "steward.sock"} < names
    assert modules_where(text_of(*names)) == written


def test_what_ready_status_and_doctor_show_is_looked_up_in_facts() -> None:
    showing = {"api/health.py", "cli/status.py"}
    showing |= {str(file.relative_to(ROOT / "appliance")) for file in PROGRAM if _is_check(file)}
    looked_up = name_of("read_owner", "living", "latest", "read_schema_state", "backup_status")
    assert "facts.py" in modules_where(looked_up)
    assert modules_where(looked_up) & showing == set()
    assert modules_where(name_of("StorageFacts", "DatabaseFacts")) <= showing


def test_the_load_generator_knows_only_http() -> None:
    knows = imports_of("appliance", "bench", "tests")
    assert LOAD
    assert [file.name for file in LOAD if any(knows(node) for node in nodes(file))] == []


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    long = {
        str(file.relative_to(ROOT)): length
        for file in EVERYTHING
        if (length := len(file.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_no_file_name_and_no_public_class_name_occurs_twice() -> None:
    files = [file.name for file in PROGRAM + LOAD if not file.name.startswith("__")]
    classes = [
        node.name
        for file in PROGRAM + LOAD
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    twice = {name for names in (files, classes) for name in names if names.count(name) > 1}
    assert twice == set()


def test_no_address_of_a_package_mirror_is_written_down() -> None:
    """Each machine has its own: apt, pip and the container engine know it."""
    folders = "appliance bench load docs rootfs scripts tests requirements .ci".split()
    found = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    files = [*found, *(file for file in ROOT.iterdir() if file.is_file())]
    told = [
        str(file.relative_to(ROOT))
        for file in files
        if MIRROR.search(file.read_text(encoding="utf-8", errors="replace"))
    ]
    assert told == []


def test_each_rule_that_is_ignored_in_a_line_has_its_reason_beside_it() -> None:
    folders = ("appliance", "bench", "load", "scripts", "tests")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    ignored = [str(f.relative_to(ROOT)) for f in files if NO_REASON.search(f.read_text())]
    assert ignored == []


def test_every_module_says_what_it_is() -> None:
    silent = [f.name for f in PROGRAM + LOAD if not ast.get_docstring(ast.parse(f.read_text()))]
    assert silent == []


@pytest.mark.parametrize(
    ("code", "occurs"),
    [
        ("from os import environ", attribute_of_os("environ")),
        ("import os\nos.execv('/x', [])", attribute_of_os(*PROCESS_CALLS)),
        ("from subprocess import run", imports_of("subprocess")),
        ("from typing import TYPE_CHECKING", name_of("TYPE_CHECKING")),
        ("import os\nos.link('a', 'b')", name_of("link")),
        ("X = '/storage/x'", text_with("/storage")),
        ("X = 'steward'", text_of("steward")),
    ],
)
def test_these_rules_see_what_they_forbid(code: str, occurs: Occurs) -> None:
    assert any(occurs(node) for node in ast.walk(ast.parse(code)))


def _is_check(file: Path) -> bool:
    return file.parent.name == "doctor"
