"""Units of work on transactions."""

from appliance.apps.books.models import (
    NewTransaction,
    Posting,
    Transaction,
    TransactionPage,
    TransactionQuery,
)
from appliance.database.connect import Connection
from appliance.database.pipeline import Query, Row, Rows, first_row
from appliance.web.pagination import LARGEST_ID, next_cursor
from appliance.web.problems import Fault, ProblemError, unprocessable

# One statement: it records the transaction if every account exists and every currency sums to
# zero, and answers in either case with the currencies, by which a refusal can be explained.
_RECORD = """
WITH wanted AS (
    SELECT w.position, w.account_id, w.amount, a.currency
    FROM unnest($1::bigint[], $2::numeric[])
        WITH ORDINALITY AS w (account_id, amount, position)
    LEFT JOIN accounts a ON a.id = w.account_id
), recorded AS (
    INSERT INTO transactions (date, description, posting_count)
    SELECT $3::date, $4, $5::integer
    WHERE NOT EXISTS (
        SELECT FROM wanted GROUP BY currency HAVING currency IS NULL OR sum(amount) <> 0
    )
    RETURNING id, created_at
), posted AS (
    INSERT INTO postings (transaction_id, position, account_id, amount)
    SELECT recorded.id, wanted.position, wanted.account_id, wanted.amount
    FROM recorded CROSS JOIN wanted
)
SELECT recorded.id, recorded.created_at, array_agg(wanted.currency ORDER BY wanted.position)
FROM wanted LEFT JOIN recorded ON true GROUP BY recorded.id, recorded.created_at
"""
_SELECT = """
SELECT t.id, t.date, t.description, t.created_at, p.accounts, p.amounts, p.currencies
FROM ({chosen}) AS t CROSS JOIN LATERAL (
    SELECT array_agg(p.account_id ORDER BY p.position) AS accounts,
        array_agg(p.amount ORDER BY p.position) AS amounts,
        array_agg(a.currency ORDER BY p.position) AS currencies
    FROM postings p JOIN accounts a ON a.id = p.account_id WHERE p.transaction_id = t.id
) AS p ORDER BY t.id DESC
"""
_ONE = _SELECT.format(chosen="SELECT * FROM transactions WHERE id = $1")
_NEWEST = _SELECT.format(
    chosen="SELECT * FROM transactions WHERE id < $1 ORDER BY id DESC LIMIT $2"
)
_OF_ACCOUNT = _SELECT.format(
    chosen="SELECT * FROM transactions WHERE id IN (SELECT DISTINCT transaction_id FROM postings "
    "WHERE transaction_id < $1 AND account_id = $2 ORDER BY transaction_id DESC LIMIT $3)"
)


def record_transaction(connection: Connection, new: NewTransaction) -> Transaction:
    """Record a transaction; raises 422 if an account is unknown or a currency does not balance."""
    accounts = [posting.account_id for posting in new.postings]
    amounts = [posting.amount for posting in new.postings]
    values = (accounts, amounts, new.date, new.description, len(accounts))
    (row,) = connection.run(Query(_RECORD, values, first_row))
    if row is None or row[0] is None:
        raise _refusal(new, row[2] if row else [])
    return Transaction(
        id=row[0],
        date=new.date,
        description=new.description,
        created_at=row[1],
        postings=[
            Posting(account_id=posting.account_id, amount=posting.amount, currency=currency)
            for posting, currency in zip(new.postings, row[2], strict=True)
        ],
    )


def list_transactions(query: TransactionQuery) -> Query[TransactionPage]:
    """A page of transactions, the newest first."""
    before = LARGEST_ID if query.cursor is None else query.cursor

    def read(rows: Rows) -> TransactionPage:
        # Validated at once: three objects for each row would take half as long again.
        return TransactionPage.model_validate(
            {
                "items": [_transaction(row) for row in rows[: query.limit]],
                "next_cursor": next_cursor([row[0] for row in rows], query.limit),
            }
        )

    if query.account_id is None:
        return Query(_NEWEST, (before, query.limit + 1), read)
    return Query(_OF_ACCOUNT, (before, query.account_id, query.limit + 1), read)


def get_transaction(transaction_id: int) -> Query[Transaction]:
    """One transaction; raises 404."""
    return Query(_ONE, (transaction_id,), _one_transaction)


def _one_transaction(rows: Rows) -> Transaction:
    for row in rows:
        return Transaction.model_validate(_transaction(row))
    raise ProblemError(404, "There is no transaction with this id.")


def _refusal(new: NewTransaction, currencies: list[str | None]) -> ProblemError:
    unknown = [
        Fault(
            pointer=f"/postings/{index}/account_id",
            message=f"There is no account {new.postings[index].account_id}.",
        )
        for index, currency in enumerate(currencies)
        if currency is None
    ]
    if unknown:
        return unprocessable(
            "A posting names an unknown account.", *unknown, kind="unknown-account"
        )
    fault = Fault(pointer="/postings", message="The amounts of each currency must sum to zero.")
    return unprocessable("The postings do not balance.", fault, kind="unbalanced-transaction")


def _transaction(row: Row) -> dict[str, object]:
    number, date, description, created_at, accounts, amounts, currencies = row
    postings = [
        {"account_id": account, "amount": amount, "currency": currency}
        for account, amount, currency in zip(accounts, amounts, currencies, strict=True)
    ]
    return {
        "id": number,
        "date": date,
        "description": description,
        "created_at": created_at,
        "postings": postings,
    }
