"""The trial balance: every account's balance, and debits against credits."""

from collections.abc import Iterable
from decimal import Decimal, localcontext

from appliance.apps.books.models import AccountBalance, CurrencyTotal, TrialBalance
from appliance.database.pipeline import Query, Rows

_BALANCES = """
    SELECT a.id, a.name, a.kind, a.currency, coalesce(p.balance, 0) FROM accounts a
    LEFT JOIN (SELECT account_id, sum(amount) AS balance FROM postings GROUP BY account_id) AS p
        ON p.account_id = a.id
    ORDER BY a.currency, a.id
"""
# Sums of many amounts of 15 and 8 digits outgrow the 28 digits that Decimal rounds to by default.
_PRECISION = 100


def get_trial_balance(_nothing: None = None) -> Query[TrialBalance]:
    """Balance the books, as of one snapshot."""
    return Query(_BALANCES, (), _balance)


def _balance(rows: Rows) -> TrialBalance:
    accounts = [
        AccountBalance(account_id=row[0], name=row[1], kind=row[2], currency=row[3], balance=row[4])
        for row in rows
    ]
    totals = add_up(accounts)
    return TrialBalance(
        balanced=all(not total.difference for total in totals), totals=totals, accounts=accounts
    )


def add_up(accounts: Iterable[AccountBalance]) -> list[CurrencyTotal]:
    """The totals of each currency, in the order in which the currencies come."""
    sides: dict[str, tuple[Decimal, Decimal]] = {}
    with localcontext(prec=_PRECISION):
        for account in accounts:
            debit, credit = sides.get(account.currency, (Decimal(0), Decimal(0)))
            sides[account.currency] = (
                debit + max(account.balance, Decimal(0)),
                credit - min(account.balance, Decimal(0)),
            )
        return [
            CurrencyTotal(currency=currency, debit=debit, credit=credit, difference=debit - credit)
            for currency, (debit, credit) in sides.items()
        ]
