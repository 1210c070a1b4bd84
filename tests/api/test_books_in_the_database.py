"""The database keeps the books' rules by itself, whoever speaks SQL to it."""

import pytest

from tests.api.conftest import Books, Cluster, psycopg, rows

NEW = (
    "INSERT INTO transactions (date, description, posting_count) "
    "VALUES (now(), 'x', {}) RETURNING id"
)
POST = "INSERT INTO postings (transaction_id, position, account_id, amount) VALUES "


def record(cluster: Cluster, announced: int, *postings: tuple[int, int, str]) -> None:
    """Insert a transaction and postings (position, account, amount) as the API's role."""
    with cluster.connect() as app, app.transaction():
        number = rows(app, NEW.format(announced))[0][0]
        for posting in postings:
            app.execute(POST + "(%s, %s, %s, %s)", (number, *posting))


def refused(cluster: Cluster, announced: int, *postings: tuple[int, int, str]) -> str:
    """Expect a refusal by a rule and return the rule's name."""
    with pytest.raises(psycopg.errors.CheckViolation) as error:
        record(cluster, announced, *postings)
    return error.value.diag.constraint_name or ""


def test_a_balanced_transaction_is_taken(books: Books, empty: Cluster) -> None:
    record(empty, 2, (1, books.cash, "1.10"), (2, books.sales, "-1.1"))
    assert books.client.get("/api/trial-balance").json["balanced"] is True


def test_what_does_not_sum_to_zero_is_refused_at_commit(books: Books, empty: Cluster) -> None:
    rule = refused(empty, 2, (1, books.cash, "1"), (2, books.sales, "-2"))
    assert rule == "transaction_balances"


def test_currencies_do_not_make_up_for_each_other(books: Books, empty: Cluster) -> None:
    dollars = books.client.account("Dollars", currency="USD")
    rule = refused(empty, 2, (1, books.cash, "1"), (2, dollars, "-1"))
    assert rule == "transaction_balances"


def test_fewer_than_two_postings_are_refused(books: Books, empty: Cluster) -> None:
    assert refused(empty, 2) == "transaction_is_complete"
    assert refused(empty, 2, (1, books.cash, "1")) == "transaction_is_complete"
    assert refused(empty, 1, (1, books.cash, "1")) == "transactions_posting_count_check"
    assert refused(empty, 0) == "transactions_posting_count_check"


@pytest.mark.parametrize("position", [3, 200])
def test_a_recorded_transaction_takes_no_more_postings(
    books: Books, empty: Cluster, position: int
) -> None:
    number = books.record().json["id"]
    added = f"({number}, {position}, {books.cash}, 1), ({number}, {position + 1}, {books.cash}, -1)"
    with empty.connect() as app, pytest.raises(psycopg.errors.CheckViolation, match="no more"):
        app.execute(POST + added)


def test_positions_are_taken_once(books: Books, empty: Cluster) -> None:
    number = books.record().json["id"]
    with empty.connect() as app, pytest.raises(psycopg.errors.UniqueViolation):
        app.execute(POST + f"({number}, 1, {books.cash}, 1)")
    with empty.connect() as app, pytest.raises(psycopg.errors.CheckViolation):
        app.execute(POST + f"({number}, 0, {books.cash}, 1)")


def test_making_the_check_immediate_opens_no_door(books: Books, empty: Cluster) -> None:
    with empty.connect() as app:
        app.execute("BEGIN")
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(psycopg.errors.CheckViolation):
            app.execute(NEW.format(2))


@pytest.mark.parametrize(
    "amount", ["0", "NaN", "Infinity", "1000000000000000", "0.000000001", "-1000000000000000"]
)
def test_amounts_keep_their_bounds(books: Books, empty: Cluster, amount: str) -> None:
    assert refused(empty, 2, (1, books.cash, amount)) == "postings_amount_check"


def test_a_posting_names_an_account_that_exists(empty: Cluster) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        record(empty, 2, (1, 999, "1"))


@pytest.mark.parametrize("table", ["accounts", "transactions", "postings"])
@pytest.mark.parametrize("role", ["app", "appliance"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {}", "TRUNCATE {} CASCADE"])
def test_the_books_are_append_only_for_everyone(
    books: Books, empty: Cluster, role: str, table: str, statement: str
) -> None:
    books.record()
    change = "amount = amount" if table == "postings" else "created_at = now()"
    with empty.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.format(table, change))
