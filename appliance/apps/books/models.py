"""What the API takes and answers."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from appliance.apps.books.values import (
    AccountName,
    Amount,
    Currency,
    Date,
    Description,
    Kind,
    Money,
    Timestamp,
)
from appliance.web.pagination import LARGEST_ID, PageQuery, QueryId

AccountId = Annotated[int, Field(strict=True, ge=1, le=LARGEST_ID)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAccount(_Request):
    """An account to open. Its name is unique within its currency."""

    name: AccountName
    kind: Kind
    currency: Currency


class Account(BaseModel):
    """An account."""

    id: int
    name: str
    kind: Kind
    currency: Currency
    created_at: Timestamp


class AccountWithBalance(Account):
    """An account and the sum of its postings."""

    balance: Money


class AccountPage(BaseModel):
    """Accounts, the oldest first."""

    items: list[Account]
    next_cursor: str | None


class NewPosting(_Request):
    """One line of a transaction to record."""

    account_id: AccountId
    amount: Amount


class NewTransaction(_Request):
    """A transaction to record. Its postings sum to zero in every currency."""

    date: Date
    description: Description
    postings: Annotated[list[NewPosting], Field(min_length=2, max_length=200)]


class Posting(BaseModel):
    """One line of a transaction."""

    account_id: int
    amount: Money
    currency: Currency


class Transaction(BaseModel):
    """A transaction. It never changes."""

    id: int
    date: date
    description: str
    postings: list[Posting]
    created_at: Timestamp


class TransactionQuery(PageQuery):
    """Which transactions to list."""

    account_id: QueryId | None = Field(default=None, description="Only those that touch it.")


class TransactionPage(BaseModel):
    """Transactions, the newest first."""

    items: list[Transaction]
    next_cursor: str | None


class CurrencyTotal(BaseModel):
    """The two sides of the trial balance in one currency; they differ by exactly zero."""

    currency: Currency
    debit: Money
    credit: Money
    difference: Money


class AccountBalance(BaseModel):
    """One line of the trial balance. A debit balance is positive, a credit balance negative."""

    account_id: int
    name: str
    kind: Kind
    currency: Currency
    balance: Money


class TrialBalance(BaseModel):
    """Every account's balance, and the proof that the books balance."""

    balanced: bool
    totals: list[CurrencyTotal]
    accounts: list[AccountBalance]
