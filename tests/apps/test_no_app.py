"""APP=none: nothing of the books is made, loaded or lost, and everything else works."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.appliance import Appliance, ending
from tests.harness.folders import short_folder

LEFT_ALONE = "APP=none: the tables of books stay as they are, and nobody serves them"
NOTES = "CREATE TABLE notes (note text); INSERT INTO notes VALUES ('kept');"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
FUNCTIONS = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
LEDGERS = "SELECT tablename FROM pg_tables WHERE tablename LIKE '%\\_ledger' ORDER BY 1"
ACCOUNT = {"name": "Cash", "kind": "asset", "currency": "EUR"}
LOADED = """
import sys
from pathlib import Path
from appliance.api.app import create_app
from appliance.apps import registry
from appliance.migrations.schema_check import SchemaGate
from appliance.database.units_of_work import Database
from appliance.settings import Settings
from appliance.storage.paths import Storage
storage = Storage(Path("/nowhere/at-all"))
database = Database(lambda: None, storage.socket, 1.0)
app = registry.load(sys.argv[1])
create_app(Settings(), storage, database, SchemaGate(database, (), skip=True), app)
print([name for name in sys.modules if name.startswith("appliance.apps.")])
"""


@pytest.fixture(scope="module")
def alone() -> Iterator[Appliance]:
    """An appliance without an app, but with a migration of somebody's own, made from nothing."""
    with short_folder() as folder, short_folder() as files:
        (files / "0001_notes.sql").write_text(NOTES)
        (files / "0001_notes.sql").chmod(0o644)
        appliance = Appliance(folder / "s", APP="none", CLIENT_MIGRATIONS_DIR=str(files))
        with ending(appliance):
            yield appliance.start().wait_until_up()


def rows(appliance: Appliance, query: str) -> list[Any]:
    with appliance.connect() as owner:
        return [row[0] for row in owner.execute(query)]


def test_nothing_of_an_app_is_made(alone: Appliance) -> None:
    assert rows(alone, TABLES) == ["notes"]
    assert rows(alone, FUNCTIONS) == [0]
    assert rows(alone, LEDGERS) == ["client_ledger", "engine_ledger"]
    assert "stay as they are" not in alone.log


def test_health_and_status_say_that_there_is_no_app(alone: Appliance) -> None:
    ready = alone.call("GET", "/ready")
    migrations = ready.json()["checks"]["migrations"]
    assert (ready.status_code, migrations["app"]) == (200, None)
    assert "books" not in migrations["message"]
    assert ", client 0001, nothing pending" in alone.run("status").stdout
    assert "books" not in alone.run("doctor", check=False).stdout
    assert "Nothing to do" in alone.run("migrate").stdout


def test_the_document_has_what_is_left(alone: Appliance) -> None:
    document = alone.call("GET", "/openapi.json").json()
    assert {path.split("/")[1] for path in document["paths"]} == {"health", "up", "ready", "api"}
    api = {path for path in document["paths"] if path.startswith("/api/")}
    assert {path.split("/")[2].removesuffix("-work") for path in api} == {"backup"}
    assert document["info"]["description"].startswith("Errors are problem documents")
    assert alone.call("GET", "/api/accounts").status_code == 404


def test_backups_are_made_proven_and_restored_without_counts_and_without_a_word_of_books(
    alone: Appliance,
) -> None:
    alone.run("backup", "create", "--name", "whole")
    with alone.connect() as owner:
        owner.execute("UPDATE notes SET note = 'changed'")
    assert '"counts": {}' in alone.run("backup", "show", "whole", "--json").stdout
    assert " as they were (" in alone.run("backup", "verify", "whole").stdout
    alone.run("backup", "restore", "whole", "--force")
    assert rows(alone, "SELECT note FROM notes") == ["kept"]


@pytest.mark.parametrize(("app", "loaded"), [("none", False), ("books", True)])
def test_what_does_not_run_is_not_loaded(app: str, loaded: bool) -> None:
    words = [sys.executable, "-c", LOADED, app]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert ("appliance.apps.books" in said) is loaded, said


def test_tables_that_are_there_stay_and_are_served_again_later(
    make_appliance: Callable[..., Appliance], storage_folder: Path
) -> None:
    first = make_appliance().start().wait_until_up()
    made = first.call("POST", "/api/accounts", json=ACCOUNT).json()
    assert first.stop() == 0
    without = make_appliance(APP="none").start().wait_until_up()
    assert LEFT_ALONE in without.log
    assert without.call("GET", "/api/accounts").status_code == 404
    assert rows(without, "SELECT name FROM accounts") == ["Cash"]
    assert without.stop() == 0
    again = make_appliance().start().wait_until_up()
    assert "stay as they are" not in again.log
    assert again.call("GET", f"/api/accounts/{made['id']}").json()["name"] == "Cash"


@pytest.mark.first_start
def test_an_app_can_come_later(make_appliance: Callable[..., Appliance]) -> None:
    without = make_appliance(APP="none").start().wait_until_up()
    assert without.stop() == 0
    later = make_appliance().start().wait_until_up()
    assert "applied books migration 0001_books.sql" in later.log
    assert later.call("POST", "/api/accounts", json=ACCOUNT).status_code == 201
