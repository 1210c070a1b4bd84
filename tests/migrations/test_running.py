"""What runs, once, in order, and what is left when it cannot."""

import pytest

from appliance.apps.books.books import BOOKS
from appliance.errors import SchemaError
from appliance.migrations import plan
from appliance.migrations.tracks import ENGINE_FOLDER, read_migrations
from tests.migrations.database import Database

NO_TRANSACTION = "-- appliance: no-transaction\n"


def refusal(database: Database, timeout_s: float = 10.0) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        database.migrate(timeout_s=timeout_s)
    return caught.value


def test_a_fresh_database_gets_every_track_engine_first(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    engine = [m.name for m in read_migrations(ENGINE_FOLDER)]
    books = [m.name for m in BOOKS.tracks()[0].migrations]
    assert database.migrate() == len(engine) + len(books) + 1
    assert database.ledger("engine") == engine
    assert database.ledger("client") == ["0001_notes.sql"]
    order = [line.split("migration ")[1].split()[0] for line in database.reported]
    assert order == [*engine, *books, "0001_notes.sql"]


def test_a_second_run_does_nothing(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.migrate()
    database.reported.clear()
    assert database.migrate() == 0
    assert database.reported == []


def test_a_failing_statement_names_file_line_and_reason_and_keeps_what_ran_before(
    database: Database,
) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.write("0002_bad.sql", "CREATE TABLE half (id int);\n\nSELECT missing FROM notes;")
    database.write("0003_later.sql", "CREATE TABLE later (id int);")
    error = refusal(database)
    assert error.message == (
        'The client migration 0002_bad.sql failed on line 3: column "missing" does not exist'
    )
    assert "Nothing of this file was kept" in error.hint
    assert database.ledger() == ["0001_notes.sql"]
    assert database.tables() == {"notes"}


def test_a_mended_file_runs_at_the_next_start(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABL notes (id int);")
    refusal(database)
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    assert database.migrate() == 1


def test_values_that_people_entered_are_not_in_the_message(database: Database) -> None:
    database.write(
        "0001_notes.sql",
        "CREATE TABLE notes (a text PRIMARY KEY); INSERT INTO notes VALUES ('hidden-4711');"
        "INSERT INTO notes VALUES ('hidden-4711');",
    )
    assert "hidden-4711" not in str(refusal(database))


def test_an_edited_file_is_refused_by_name_and_nothing_runs(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.migrate()
    database.write("0001_notes.sql", "CREATE TABLE notes (id bigint);")
    database.write("0002_more.sql", "CREATE TABLE more (id int);")
    error = refusal(database)
    assert "client migration 0001_notes.sql was edited after it was applied" in error.message
    assert database.tables() == {"notes"}


def test_a_gap_in_the_ledger_is_refused(database: Database) -> None:
    database.migrate()
    with database.connect() as superuser:
        superuser.execute("DELETE FROM appliance.engine_ledger WHERE number = 2")
    assert "engine ledger lacks number 0002" in refusal(database).message


def test_percent_signs_quotes_and_several_statements_run_as_written(database: Database) -> None:
    database.write(
        "0001_notes.sql",
        """
        CREATE TABLE notes (note text CHECK (note LIKE '%s%'), "odd;name" int);
        CREATE FUNCTION count_notes() RETURNS bigint LANGUAGE plpgsql AS $body$
        DECLARE found bigint;
        BEGIN
            SELECT count(*) INTO found FROM notes WHERE note LIKE '%%' OR note = $$;$$;
            RETURN found; -- it's fine; really
        END $body$;
        INSERT INTO notes VALUES ('100%s;'), (E'it\\'s %d'), ('§ %s ünïcode');
        """,
    )
    database.migrate()
    with database.connect() as superuser:
        assert superuser.execute("SELECT count_notes()").fetchone() == (3,)


@pytest.mark.parametrize("content", ["", "-- nothing yet\n", NO_TRANSACTION, ";"])
def test_a_file_without_a_statement_counts_as_applied(database: Database, content: str) -> None:
    database.write("0001_empty.sql", content)
    database.migrate()
    assert database.ledger() == ["0001_empty.sql"]


def test_what_a_file_sets_for_the_session_ends_with_it(database: Database) -> None:
    database.write(
        "0001_dumped.sql",
        "SELECT pg_catalog.set_config('search_path', '', false); SET lock_timeout = '1h';"
        "CREATE TEMP TABLE notes (id int); CREATE TABLE public.first (id int);",
    )
    database.write("0002_notes.sql", "CREATE TABLE notes (id int);")
    database.migrate()
    assert database.tables() == {"first", "notes"}


@pytest.mark.parametrize(
    "content",
    [
        "CREATE TABLE half (id int);\nCOMMIT;\nCREATE TABLE other (id int);",
        "BEGIN;\nCREATE TABLE half (id int);\nCOMMIT;",
        "CREATE TABLE half (id int);\nROLLBACK;",
        f"{NO_TRANSACTION}BEGIN;\nCREATE TABLE half (id int);",
    ],
)
def test_a_file_with_a_transaction_of_its_own_is_refused_before_anything_runs(
    database: Database, content: str
) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.write("0002_half.sql", content)
    error = refusal(database)
    assert "0002_half.sql has " in error.message
    assert " on line " in error.message
    assert database.tables() == set()


def test_a_commit_that_hides_from_us_is_at_least_never_recorded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_check_statements", lambda *_: None)
    for content in ("CREATE TABLE half (id int); COMMIT;", "ROLLBACK; BEGIN; SELECT 1;"):
        database.write("0001_half.sql", content)
        assert "ended its own transaction" in refusal(database).message
        assert database.ledger() == []


def test_copy_from_standard_input_is_a_failure_in_words(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);\nCOPY notes FROM stdin;\n1\n\\.")
    assert "0001_notes.sql failed" in refusal(database).message
    assert database.tables() == set()


def test_an_index_is_made_concurrently_outside_a_transaction(database: Database) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.write(
        "0002_index.sql",
        f"{NO_TRANSACTION}DROP INDEX CONCURRENTLY IF EXISTS notes_id;\n"
        "CREATE INDEX CONCURRENTLY notes_id ON notes (id);\nVACUUM notes;",
    )
    database.migrate()
    assert database.ledger() == ["0001_notes.sql", "0002_index.sql"]
    with database.connect() as superuser:
        valid = superuser.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_id'::regclass"
        )
        assert valid.fetchone() == (True,)


def test_an_index_made_concurrently_inside_a_transaction_fails_with_the_way_out(
    database: Database,
) -> None:
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    database.write("0002_index.sql", "CREATE INDEX CONCURRENTLY notes_id ON notes (id);")
    error = refusal(database)
    assert "0002_index.sql failed" in error.message
    assert NO_TRANSACTION.strip() in error.hint


def test_a_failure_outside_a_transaction_says_that_something_may_be_left(
    database: Database,
) -> None:
    database.write(
        "0001_half.sql", f"{NO_TRANSACTION}CREATE TABLE half (id int);\nSELECT nonsense;"
    )
    error = refusal(database)
    assert "see what it left" in error.hint
    assert database.tables() == {"half"}
    assert database.ledger() == []


def test_a_ledger_that_belongs_to_somebody_else_is_a_sentence(database: Database) -> None:
    with database.connect() as superuser:
        superuser.execute("CREATE SCHEMA appliance")
    assert "permission denied for schema appliance" in refusal(database).message
