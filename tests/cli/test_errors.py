"""Whatever is wrong: a sentence, a next step, a documented exit code, and no traceback."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from tests.cli.conftest import Run
from tests.harness.postgres_program import PostgresProgram

NEED_THE_DATABASE = [
    ["migrate"],
    ["keys", "list"],
    ["keys", "create", "x"],
    ["keys", "revoke", "x"],
    ["psql", "-c", "SELECT 1"],
    ["api"],
]


def check(said: "subprocess.CompletedProcess[str]", code: ExitCode, *words: str) -> None:
    """The error is one sentence with a next step below it."""
    assert said.returncode == code, said.stderr
    assert "Traceback" not in said.stdout + said.stderr
    lines = said.stderr.splitlines()
    assert lines[0].startswith("appliance: ")
    assert lines[-1].startswith("  ")
    for word in words:
        assert word in said.stderr


@pytest.mark.parametrize("arguments", NEED_THE_DATABASE)
def test_without_a_storage_it_is_said_where_it_was_looked_for(
    run: Run, arguments: list[str], storage_folder: Path
) -> None:
    check(run(*arguments), ExitCode.DATABASE, str(storage_folder))
    assert not storage_folder.exists()


@pytest.mark.parametrize("arguments", NEED_THE_DATABASE)
def test_without_a_database_it_is_said_that_it_cannot_be_reached(
    run: Run, arguments: list[str], storage_folder: Path
) -> None:
    storage_folder.mkdir()
    words = ("cannot be reached: No such file or directory.", "appliance doctor")
    check(run(*arguments), ExitCode.DATABASE, *words)


@pytest.mark.parametrize("arguments", [["up"], ["status"], ["doctor"], *NEED_THE_DATABASE])
def test_with_bad_settings_all_faults_are_named(run: Run, arguments: list[str]) -> None:
    said = run(*arguments, PORT="none", HOLD_SECONDS="nan")
    check(said, ExitCode.SETTINGS, "PORT='none'", "HOLD_SECONDS='nan'", "appliance env")


@pytest.mark.parametrize("service", ["up", "api"])
def test_in_a_json_log_an_error_of_a_service_is_an_object(run: Run, service: str) -> None:
    said = run(service, PORT="none", LOG_FORMAT="json")
    [line] = (said.stdout + said.stderr).splitlines()
    error = json.loads(line)
    assert said.returncode == ExitCode.SETTINGS
    assert (error["level"], error["program"]) == ("error", "appliance")
    assert "PORT='none'" in error["message"]
    assert "appliance env" in error["message"]


def test_to_people_errors_are_told_in_words_whatever_the_log_is(run: Run) -> None:
    check(run("keys", "list", LOG_FORMAT="json"), ExitCode.DATABASE, "There is no storage")


@pytest.mark.first_start
def test_a_database_that_was_never_migrated_says_what_to_do(
    run: Run, make_program: Callable[..., PostgresProgram]
) -> None:
    program = make_program().start().wait_until_serving()
    words = 'role "appliance" does not exist'
    check(run("keys", "list"), ExitCode.DATABASE, words)
    program.migrate()
    with program.connect() as superuser:
        superuser.execute("DROP TABLE appliance.idempotency_keys, appliance.api_keys")
    check(run("keys", "list"), ExitCode.SCHEMA, "api_keys", "appliance migrate")


def test_a_storage_that_cannot_be_made_is_exit_code_4(run: Run, storage_folder: Path) -> None:
    storage_folder.write_text("a file")
    check(run("up"), ExitCode.STORAGE, str(storage_folder), "STORAGE_DIR")


def test_a_storage_path_that_is_too_long_is_exit_code_4(run: Run, storage_folder: Path) -> None:
    check(run("up", STORAGE_DIR=f"{storage_folder}{'x' * 100}"), ExitCode.STORAGE, "shorter")


def test_a_reader_that_goes_away_is_no_traceback(run: Run, storage_folder: Path) -> None:
    said = subprocess.run(
        ["bash", "-c", '"$0" env | true', run("--version").args[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in said.stderr
    assert "Exception" not in said.stderr
