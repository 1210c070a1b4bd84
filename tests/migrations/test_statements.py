"""Telling statements apart."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from appliance.migrations.statements import split

BODY = "CREATE OR REPLACE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"


@pytest.mark.parametrize(
    ("sql", "texts"),
    [
        ("", []),
        (" ;; \n; ", []),
        ("-- only; a comment", []),
        ("/* a; /* nested; */ comment; */ ;", []),
        ("SELECT 1; SELECT 2", ["SELECT 1;", "SELECT 2"]),
        ("SELECT ';', E'\\';', \";\";VACUUM;", ["SELECT ';', E'\\';', \";\";", "VACUUM;"]),
        ("DO $$ BEGIN; COMMIT; END $$; SELECT $a$;$$;$a$", None),
        ("SELECT 'it''s; fine'; SELECT 2;", ["SELECT 'it''s; fine';", "SELECT 2;"]),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3", None),
        (f"{BODY}; SELECT 3", [f"{BODY};", "SELECT 3"]),
        ("CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1; END; SELECT 3", None),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; END; X",
            None,
        ),
        ("SELECT CASE WHEN true THEN 1 END; SELECT 2", None),
        ("SELECT a$b$c; SELECT 2", ["SELECT a$b$c;", "SELECT 2"]),
        ("SELECT $1; SELECT 2", ["SELECT $1;", "SELECT 2"]),
    ],
)
def test_a_semicolon_ends_a_statement_only_where_it_does_so_for_postgres(
    sql: str, texts: list[str] | None
) -> None:
    found = [statement.text for statement in split(sql)]
    assert len(found) == 2 if texts is None else found == texts


@pytest.mark.parametrize(
    ("sql", "command"),
    [
        ("begin", "BEGIN"),
        ("Start Transaction;", "START"),
        ("/* x */ COMMIT AND CHAIN", "COMMIT"),
        ("end;", "END"),
        ("ROLLBACK TO a", "ROLLBACK"),
        ("prepare transaction 'x'", "PREPARE TRANSACTION"),
        ("PREPARE begin AS SELECT 1", None),
        ("DO $$ BEGIN END $$", None),
        ("SELECT 'COMMIT'", None),
    ],
)
def test_a_transaction_command_is_recognised(sql: str, command: str | None) -> None:
    [statement] = split(sql)
    assert statement.transaction_command == command


def test_a_statement_knows_the_line_where_it_begins() -> None:
    assert [s.line for s in split("SELECT\n1;\n\n-- x\n  SELECT 2;\nSELECT 3")] == [1, 5, 6]


@given(st.text("abcBEGINDCOMT ;'\"$()/*-\\\n", max_size=60))
def test_nothing_but_space_and_comments_is_lost(sql: str) -> None:
    rest = sql
    for statement in split(sql):
        before, found, rest = rest.partition(statement.text)
        assert found
        assert split(before) == []
    assert split(rest) == []
