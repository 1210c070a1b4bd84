"""With --verbose a command shows each program that it runs, and how long that took."""

import json
import re
from collections.abc import Callable

import pytest

from appliance.system import log, process
from tests.cli.conftest import Run
from tests.harness.appliance import Appliance

DUMPED = r"Z appliance debug: ran pg_dump seconds=\d+\.\d+ exit_code=0 arguments="


@pytest.mark.parametrize("verbose", [["--verbose", "backup", "create"], ["backup", "create"]])
def test_it_stands_before_or_after_the_command(appliance: Appliance, verbose: list[str]) -> None:
    after = [] if "--verbose" in verbose else ["--verbose"]
    said = appliance.run(*verbose, *after, "--json")
    assert re.search(DUMPED, said.stderr)
    assert json.loads(said.stdout)["name"]


def test_without_it_nothing_of_that_is_shown(appliance: Appliance) -> None:
    assert "ran " not in appliance.run("backup", "create").stderr


def test_what_follows_two_dashes_is_not_ours(run: Run) -> None:
    said = run("keys", "revoke", "--", "--verbose")
    assert "There is no storage" in said.stderr


def test_the_log_of_all_programs_has_it_with_the_level_debug(
    make_appliance: Callable[..., Appliance],
) -> None:
    started = make_appliance(LOG_FORMAT="json", LOG_LEVEL="debug").start().wait_until_up()
    assert started.stop() == 0
    ran = [one for line in started.lines if (one := json.loads(line))["level"] == "debug"]
    assert {one["message"] for one in ran} >= {"ran pg_controldata"}
    assert all(one["seconds"] > 0 for one in ran)


@pytest.mark.parametrize(
    "argument",
    [
        "--password=hidden",
        "host=x password='hid hidden'",
        "postgresql://me:hidden@host/x",
        "AWS_SECRET_ACCESS_KEY=hidden",
        "--age-key-file=hidden",
        "token=hidden",
    ],
)
def test_a_secret_among_the_arguments_is_masked(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.setattr(log, "_debug_descriptor", 2)
    process.run(["true", "shown", argument])
    said = capfd.readouterr().err
    assert "ran true " in said
    assert "shown" in said
    assert "hidden" not in said


def test_a_program_that_runs_beside_is_shown_with_the_signal_that_ended_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_debug_descriptor", 2)
    with process.RunningProcess(["sleep", "600"]):
        pass
    assert re.search(r"ran sleep seconds=\S+ signal=9 arguments=600$", capfd.readouterr().err, re.M)
