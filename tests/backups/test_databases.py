"""A database as a whole: what makes it anew, what counts as data in it, and what its log tells."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups.backup_errors import DamagedError
from appliance.backups.server import databases
from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness.appliance import Appliance, ending
from tests.harness.folders import short_folder
from tests.harness.waiting import wait_until

SETTINGS = [
    'search_path="$user", public',
    'search_path="Odd ""name"", of mine", plain',
    'search_path=""',
    'session_preload_libraries="some where", auto_explain',
    "work_mem=5MB",
]
NO_LISTS = ["public; DROP TABLE x", '"open', "a,", "a b", "a,,b", ",", "a'b\" c"]
ODD = "100% of 'it' \\ \"so\" $$ $1"


@pytest.mark.parametrize("entry", SETTINGS)
def test_a_setting_is_made_anew_as_it_was(shared: Appliance, entry: str) -> None:
    with closing(databases.connect_to(shared.storage.run, "postgres")) as connection:
        properties = databases.describe(connection, "postgres") | {"settings": [[None, entry]]}
        databases.create(connection, "configured", properties)
        try:
            assert databases.describe(connection, "configured") == properties
        finally:
            databases.drop(connection, "configured")


def test_a_setting_that_holds_a_command_is_refused(shared: Appliance) -> None:
    entry = "search_path=public; CREATE ROLE intruder SUPERUSER"
    with closing(databases.connect_to(shared.storage.run, "postgres")) as connection:
        properties = databases.describe(connection, "postgres") | {"settings": [[None, entry]]}
        try:
            with pytest.raises(DamagedError, match="a setting that is no list: 'public; CREATE"):
                databases.create(connection, "configured", properties)
        finally:
            databases.drop(connection, "configured")
        intruder = "SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'"
        assert connection.execute(intruder).fetchone() == (0,)


@given(st.lists(st.text(max_size=5), max_size=4))
def test_whatever_is_quoted_is_read_as_it_was(elements: list[str]) -> None:
    text = ", ".join('"' + one.replace('"', '""') + '"' for one in elements)
    assert databases.split_list(text) == elements


@pytest.mark.parametrize("text", NO_LISTS)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(DamagedError, match="a setting that is no list"):
        databases.split_list(text)


@pytest.fixture
def fresh(made: Path) -> Iterator[BackupCommand]:
    """An appliance with a cluster of its own into which nobody has put anything, and a backup."""
    with short_folder() as folder, ending(Appliance(folder / "s")) as appliance:
        appliance.start().wait_until_up()
        scene.copy(made, appliance.storage.backups / "made")
        yield BackupCommand(appliance, appliance.storage.backups)


DATA = (
    ("SELECT lo_create(4711)", "SELECT lo_unlink(4711)"),
    ("CREATE TABLE mine AS SELECT 1 AS one", "DROP TABLE mine"),
)


def test_books_keys_tables_and_large_objects_are_data_and_what_comes_by_itself_is_not(
    fresh: BackupCommand,
) -> None:
    refusal = "There is data in appliance; a restore replaces all of it."
    fresh.appliance.run("keys", "create", "by-hand")
    assert refusal in fresh.refused("restore", "made")
    with fresh.appliance.connect() as connection:
        connection.execute("DELETE FROM appliance.api_keys")
        for made, removed in DATA:
            connection.execute(made)
            assert refusal in fresh.refused("restore", "made")
            connection.execute(removed)
        connection.execute("INSERT INTO appliance.commit_tokens VALUES (gen_random_uuid())")
    fresh.run("restore", "made")
    assert refusal in fresh.refused("restore", "made")


def test_a_restore_is_in_the_log_with_who_did_it(cli: BackupCommand, copied: Path) -> None:
    cli.run("restore", "made", "--force")
    created_at = cli.json("show", "made")["created_at"]
    line = f"LOG:  the data was replaced by the backup made of {created_at}, for command line (user"
    wait_until(lambda: line in cli.appliance.log, line)


def test_a_refused_restore_is_not_in_the_log(cli: BackupCommand, copied: Path) -> None:
    scene.copy(copied, cli.folder / "other", name="other")
    cli.refused("restore", "other")
    cli.run("restore", "made", "--force")
    wait_until(lambda: "by the backup made of" in cli.appliance.log, "the line of the other one")
    assert "by the backup other of" not in cli.appliance.log


def test_any_text_is_logged_as_it_is_and_forges_no_line(shared: Appliance) -> None:
    with closing(databases.connect_to(shared.storage.run, "postgres")) as connection:
        databases.write_log(connection, f"{ODD}\nforged")
    wait_until(lambda: "forged" in shared.log, "the end of the text")
    assert f"LOG:  {ODD}\n\tforged" in shared.log
