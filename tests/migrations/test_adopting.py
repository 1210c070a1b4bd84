"""A database that holds objects but no ledger."""

from collections.abc import Collection

import pytest

from appliance.apps.books.books import BOOKS
from appliance.apps.contract import App
from appliance.errors import SchemaError
from appliance.migrations.tracks import ENGINE_FOLDER, read_migrations
from tests.migrations.database import Database

ENGINE = [migration.name for migration in read_migrations(ENGINE_FOLDER)]
OURS = len(ENGINE) + len(BOOKS.tracks()[0].migrations)


def refusal(database: Database, adopt: Collection[str] = ()) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        database.migrate(adopt=adopt)
    return caught.value


def lose_the_ledgers(database: Database) -> None:
    with database.connect() as superuser:
        superuser.execute(
            "DROP TABLE appliance.engine_ledger, appliance.books_ledger, appliance.client_ledger"
        )


def test_objects_without_a_ledger_are_refused_and_it_is_said_how_to_adopt(
    database: Database,
) -> None:
    database.migrate()
    lose_the_ledgers(database)
    error = refusal(database)
    assert "holds objects (appliance.api_keys" in error.message
    assert "Nothing was changed" in error.message
    assert error.hint.endswith("appliance migrate --adopt engine --adopt books")


def test_an_adopted_track_is_in_the_ledger_and_was_not_run(database: Database) -> None:
    database.migrate()
    lose_the_ledgers(database)
    assert database.migrate(adopt=["engine", "books"]) == OURS
    assert database.ledger("engine") == ENGINE
    assert database.migrate() == 0


def test_with_files_of_ones_own_all_tracks_are_adopted(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.migrate()
    lose_the_ledgers(database)
    assert refusal(database).hint.endswith("--adopt engine --adopt books --adopt client")
    assert refusal(database, ["engine"]).hint.endswith(
        "--adopt engine --adopt books --adopt client"
    )
    assert database.migrate(adopt=["engine", "books", "client"]) == OURS + 1
    assert database.ledger() == ["0001_notes.sql"]


def test_tables_that_were_made_by_hand_can_be_adopted_by_the_client_track(
    database: Database,
) -> None:
    database.migrate()
    with database.connect("appliance") as owner:
        owner.execute("CREATE TABLE notes (id int)")
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    assert "already exists" in refusal(database).message
    assert database.migrate(adopt=["client"]) == 1
    assert database.ledger() == ["0001_notes.sql"]


def test_a_track_that_has_a_ledger_is_not_adopted_again(database: Database) -> None:
    database.migrate()
    assert "there is nothing to adopt" in refusal(database, ["engine"]).message


def test_an_empty_database_is_not_adopted(database: Database) -> None:
    assert "The database is empty" in refusal(database, ["engine"]).message
    assert database.migrate() == OURS


def test_objects_of_an_extension_are_nobodys(database: Database) -> None:
    with database.connect() as superuser:
        superuser.execute("CREATE EXTENSION pg_buffercache")
    assert database.migrate() == OURS


def test_a_track_that_does_not_run_here_is_not_adopted(database: Database) -> None:
    database.app = App(name="none")
    error = refusal(database, ["books"])
    assert error.message == "There is no books track here to adopt; there are engine, client."
