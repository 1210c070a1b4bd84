"""Several queries in one round trip: what comes of each, of an error, and of what is kept."""

from typing import Any

import psycopg
import pytest
from psycopg import errors

from appliance.database import pipeline
from appliance.database.connect import Connection
from appliance.database.pipeline import OutdatedStatementError, Query, Rows, first_row, no_answer
from tests.database.conftest import Open, connect_as_api
from tests.database.proxy import CommitProxy, Cut
from tests.database.units import things
from tests.harness.postgres_program import PostgresProgram

ADD = "INSERT INTO things VALUES ($1)"


class RefusedError(Exception):
    """What a `read` may raise."""


def refuse(_: Rows) -> None:
    raise RefusedError


def say(value: int) -> Query[int]:
    return Query("SELECT $1::int", (value,), lambda rows: int(rows[0][0]))


BROKEN = Query("SELECT 1/$1::int", (0,), first_row)


@pytest.fixture
def connection(server: PostgresProgram) -> Connection:
    return connect_as_api(server.storage.run)


def test_the_answers_come_in_order_and_in_their_types(connection: Connection) -> None:
    with connection:
        twice = [connection.run(say(1), say(2), Query("SELECT now()", (), len)) for _ in range(2)]
        assert twice == [[1, 2, 1]] * 2
        (row,) = connection.run(
            Query("SELECT $1::bigint[], $2::bytea, $3::text", ([1, 2], b"\0x", None), first_row)
        )
        assert row == ([1, 2], b"\0x", None)


def test_after_an_error_nothing_more_is_run_and_the_connection_goes_on(
    server: PostgresProgram, connection: Connection
) -> None:
    with connection:
        with pytest.raises(errors.DivisionByZero):
            connection.run(say(1), BROKEN, Query(ADD, ("never",), no_answer))
        assert connection.run(say(3)) == [3]
    assert things(server) == []


def test_a_refusal_in_front_of_an_error_is_what_is_raised(connection: Connection) -> None:
    with connection, pytest.raises(RefusedError):
        connection.run(Query("SELECT 1", (), refuse), BROKEN)


def test_a_value_that_cannot_be_sent_leaves_the_connection_as_it_was(
    connection: Connection,
) -> None:
    with connection:
        with pytest.raises(psycopg.DataError):
            connection.run(say(1), Query("SELECT $1::text", ("a\0b",), first_row))
        assert connection.run(say(2)) == [2]


def test_a_statement_that_cannot_be_parsed_is_not_kept(connection: Connection) -> None:
    with connection:
        for _ in range(2):
            with pytest.raises(errors.UndefinedTable):
                connection.run(say(1), Query("SELECT * FROM nowhere", (), first_row))
        assert connection.run(say(2)) == [2]


def test_statements_beyond_those_that_are_kept_are_run_as_well(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_MOST_KEPT", 3)
    queries = [Query(f"SELECT {number} + $1::int", (1,), first_row) for number in range(6)]
    with connection:
        for _ in range(2):
            assert connection.run(*queries) == [(number + 1,) for number in range(6)]
        kept = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        assert kept == (3,)


def test_a_transaction_whose_statements_were_thrown_away_is_run_again(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    assert database.ask(say(1)) == [1]
    database.read(lambda connection: connection.execute("DEALLOCATE ALL") and None)
    assert database.ask(say(2)) == [2]


def test_a_unit_that_throws_statements_away_each_time_is_applied_all_the_same(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    for number in range(3):

        def unit(connection: Connection, thing: str = f"thing {number}") -> None:
            connection.execute("DEALLOCATE ALL")
            connection.run(Query(ADD, (thing,), no_answer))

        database.write(unit)
    assert things(server) == ["thing 0", "thing 1", "thing 2"]


def test_a_transaction_is_run_again_when_a_migration_has_changed_what_a_statement_returns(
    server: PostgresProgram, open_database: Open
) -> None:
    database, everything = open_database(server.storage.run), Query("TABLE counters", (), len)
    assert database.ask(everything) == [2]
    with server.connect("appliance") as owner:
        owner.execute("ALTER TABLE counters ADD COLUMN more integer")
        try:
            assert database.ask(everything) == [2]
        finally:
            owner.execute("ALTER TABLE counters DROP COLUMN more")


def test_a_statement_that_the_server_cannot_do_is_an_error_and_not_tried_for_ever(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    raising = Query("DO $$ BEGIN RAISE feature_not_supported; END $$", (), no_answer)
    for _ in range(3):
        with pytest.raises(errors.FeatureNotSupported):
            database.ask(raising)


def test_outside_a_unit_a_statement_that_was_thrown_away_says_so_once(
    connection: Connection,
) -> None:
    with connection:
        connection.run(say(1))
        connection.execute("DEALLOCATE ALL")
        with pytest.raises(OutdatedStatementError):
            connection.run(say(1))
        assert connection.run(say(1)) == [1]


def test_a_question_is_one_message_to_the_server_and_cannot_write(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    with pytest.raises(errors.ReadOnlySqlTransaction):
        database.ask(Query(ADD, ("x",), no_answer))
    assert database.ask(say(1), say(2)) == [1, 2]
    assert things(server) == []


@pytest.mark.parametrize("cut", list(Cut))
def test_a_question_that_is_cut_off_is_asked_again(
    proxy: CommitProxy, open_database: Open, cut: Cut
) -> None:
    database = open_database(proxy.folder)
    assert database.ask(say(1)) == [1]
    proxy.cuts = [cut]
    assert database.ask(say(2)) == [2]
    assert proxy.cuts == []


def test_what_opens_and_closes_a_write_is_applied_with_it_or_not_at_all(
    server: PostgresProgram, open_database: Open
) -> None:
    database, first = open_database(server.storage.run), Query(ADD, ("first",), no_answer)

    def unit(connection: Connection, _first: None, answer: int) -> str:
        connection.execute("INSERT INTO things VALUES ('second')")
        return f"third {answer}"

    def closing(result: str) -> list[Query[None]]:
        return [Query(ADD, (result,), no_answer)]

    def broken(_: str) -> list[Query[Any]]:
        return [BROKEN]

    with pytest.raises(errors.DivisionByZero):
        database.write(unit, [first, say(3)], broken)
    assert things(server) == []
    assert database.write(unit, [first, say(3)], closing) == "third 3"
    assert things(server) == ["first", "second", "third 3"]
    with pytest.raises(RefusedError):
        database.write(unit, [Query(ADD, ("refused",), refuse), say(3)], closing)
    assert things(server) == ["first", "second", "third 3"]


@pytest.mark.parametrize("cut", list(Cut))
def test_what_closes_a_write_is_applied_once_wherever_it_is_cut_off(
    server: PostgresProgram, proxy: CommitProxy, open_database: Open, cut: Cut
) -> None:
    proxy.cuts = [cut]
    open_database(proxy.folder).write(
        lambda _: None, closing=lambda _: [Query(ADD, ("closing",), no_answer)]
    )
    assert (proxy.cuts, things(server)) == ([], ["closing"])
