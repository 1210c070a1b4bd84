"""What the command says of itself."""

import re

import pytest

from appliance import __version__
from appliance.errors import ExitCode
from tests.cli.conftest import Run

COMMANDS = "up api migrate status doctor env gen-secret psql keys".split()


@pytest.mark.parametrize("arguments", [[name] for name in COMMANDS] + [["keys", "create"]])
def test_every_command_explains_itself_without_a_database(run: Run, arguments: list[str]) -> None:
    said = run(*arguments, "--help")
    assert said.returncode == ExitCode.OK
    assert said.stdout.startswith(f"Usage: appliance {' '.join(arguments)} ")
    assert len(said.stdout.splitlines()) > 4


def test_the_list_names_every_command_with_a_whole_sentence(run: Run) -> None:
    said = run("--help").stdout
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\w.*\.$", said, re.MULTILINE), name
    assert "..." not in said.partition("Commands:")[2]


def test_every_exit_code_is_documented(run: Run) -> None:
    documented = re.findall(r"^    (\d)  ", run("--help").stdout, re.MULTILINE)
    assert [int(code) for code in documented] == list(ExitCode)


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == f"appliance {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["up", "--nope"],
        ["keys", "create"],
        ["migrate", "--adopt", "nope"],
        ["psql", "--role", "nope"],
    ],
)
def test_a_wrong_call_is_exit_code_2_and_a_sentence(run: Run, arguments: list[str]) -> None:
    said = run(*arguments)
    assert said.returncode == ExitCode.USAGE
    assert "Error: " in said.stderr
    assert "--help" in said.stderr
