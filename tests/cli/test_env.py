"""The environment contract on the command line."""

import base64
import json

from appliance.settings import example, table
from tests.cli.conftest import Run


def test_env_shows_every_setting_with_its_tag_and_rule(run: Run) -> None:
    said = run("env").stdout
    for row in table():
        assert (
            f"{row['name']}  [{row['tag']}]\n    {row['help']}\n    Must be {row['rule']}." in said
        )


def test_env_works_although_the_environment_is_broken(run: Run) -> None:
    assert run("env", PORT="none").returncode == 0


def test_env_for_programs(run: Run) -> None:
    assert json.loads(run("env", "--json").stdout) == table()


def test_env_prints_the_example_file(run: Run) -> None:
    assert run("env", "--example").stdout == example()


def test_gen_secret_prints_32_random_bytes_and_nothing_else(run: Run) -> None:
    first, second = (run("gen-secret").stdout for _ in range(2))
    assert first != second
    assert len(base64.b64decode(first.strip(), validate=True)) == 32
    assert first.count("\n") == 1
