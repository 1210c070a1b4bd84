"""The schema for people: .env.example and the table."""

import re
from pathlib import Path

from appliance.settings import example, load, table, variables

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def test_the_example_file_is_what_the_schema_makes() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example(), "run: make env-example"


def test_every_setting_is_tagged_in_the_example() -> None:
    tags = re.findall(r"\[(required|optional|default: [^\]]+)\]$", example(), re.MULTILINE)
    assert len(tags) == len(table())
    assert "default: 80" in tags


def test_the_table_shows_every_setting_but_those_the_appliance_sets_itself() -> None:
    shown = [row["name"] for row in table()]
    assert shown == [name for name, variable in variables().items() if not variable.internal]
    assert "APPLIANCE_INSTANCE" not in shown


def test_the_example_read_as_an_env_file_changes_nothing() -> None:
    lines = [line.removeprefix("# ") for line in example().splitlines()]
    assigned = dict(line.split("=", 1) for line in lines if re.fullmatch(r"[A-Z_]+=", line))
    assert load(assigned) == load({})
