"""Units of work on accounts."""

from appliance.apps.books.models import Account, AccountPage, AccountWithBalance, NewAccount
from appliance.database.connect import Connection
from appliance.database.pipeline import Query, Row, Rows
from appliance.web.pagination import PageQuery, next_cursor
from appliance.web.problems import ProblemError

_PAGE = """
    SELECT id, name, kind, currency, created_at FROM accounts WHERE id > $1 ORDER BY id LIMIT $2
"""
_ONE = """
    SELECT id, name, kind, currency, created_at,
        coalesce((SELECT sum(amount) FROM postings WHERE account_id = accounts.id), 0)
    FROM accounts WHERE id = $1
"""


def open_account(connection: Connection, new: NewAccount) -> Account:
    """Open an account; raises 409 if one of this name and currency exists."""
    row = connection.execute(
        "INSERT INTO accounts (name, kind, currency) VALUES (%s, %s, %s) "
        "ON CONFLICT (name, currency) DO NOTHING RETURNING id, name, kind, currency, created_at",
        (new.name, new.kind.value, new.currency),
    ).fetchone()
    if row is None:
        raise ProblemError(
            409,
            f"An account of this name exists already in {new.currency}.",
            kind="account-exists",
        )
    return _account(row)


def list_accounts(query: PageQuery) -> Query[AccountPage]:
    """A page of accounts, the oldest first."""

    def read(rows: Rows) -> AccountPage:
        return AccountPage(
            items=[_account(row) for row in rows[: query.limit]],
            next_cursor=next_cursor([row[0] for row in rows], query.limit),
        )

    return Query(_PAGE, (query.cursor or 0, query.limit + 1), read)


def get_account(account_id: int) -> Query[AccountWithBalance]:
    """One account with its balance; raises 404."""
    return Query(_ONE, (account_id,), _account_with_balance)


def _account_with_balance(rows: Rows) -> AccountWithBalance:
    for row in rows:
        return AccountWithBalance(
            id=row[0], name=row[1], kind=row[2], currency=row[3], created_at=row[4], balance=row[5]
        )
    raise ProblemError(404, "There is no account with this id.")


def _account(row: Row) -> Account:
    names = ("id", "name", "kind", "currency", "created_at")
    return Account.model_validate(dict(zip(names, row, strict=True)))
