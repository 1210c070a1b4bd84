"""`appliance psql`: psql with the right socket, database and role."""

import pytest

from tests.harness.appliance import Appliance

WHO = "SELECT current_user, current_database()"


@pytest.mark.parametrize("role", ["appliance", "app", "postgres"])
def test_psql_speaks_as_the_role_that_was_asked_for(running: Appliance, role: str) -> None:
    said = running.run("psql", "--role", role, "-XAtc", WHO)
    assert said.stdout == f"{role}|appliance\n"


def test_psql_is_the_owner_by_default_and_takes_options_of_psql(running: Appliance) -> None:
    assert running.run("psql", "-c", "select 1 AS one", "-XAt").stdout == "1\n"
    assert running.run("psql", "-XAtc", WHO).stdout == "appliance|appliance\n"


def test_the_exit_code_is_that_of_psql(running: Appliance) -> None:
    said = running.run("psql", "-X", "-v", "ON_ERROR_STOP=1", "-c", "nonsense", check=False)
    assert said.returncode == 1
    assert "syntax error" in said.stderr


def test_the_role_of_the_api_changes_no_schema(running: Appliance) -> None:
    said = running.run("psql", "--role", "app", "-Xc", "DROP TABLE accounts", check=False)
    assert "must be owner of table accounts" in said.stderr
