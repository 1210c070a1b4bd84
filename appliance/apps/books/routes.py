"""The paths of the bookkeeping app."""

from appliance.apps.books import models
from appliance.apps.books.accounts import get_account, list_accounts, open_account
from appliance.apps.books.transactions import get_transaction, list_transactions, record_transaction
from appliance.apps.books.trial_balance import get_trial_balance
from appliance.web.operations import Lookup, Operation, Route
from appliance.web.pagination import PageQuery

ROUTES = (
    Route(
        "/api/accounts",
        (
            Operation(
                method="POST",
                name="openAccount",
                summary="Open an account",
                tag="accounts",
                unit=open_account,
                body=models.NewAccount,
                answer=models.Account,
                status=201,
                location="/api/accounts/{id}",
                once=True,
                problems={409: "An account of this name and currency exists."},
            ),
            Lookup(
                name="listAccounts",
                summary="List accounts, the oldest first",
                tag="accounts",
                ask=list_accounts,
                query=PageQuery,
                answer=models.AccountPage,
            ),
        ),
    ),
    Route(
        "/api/accounts/{id}",
        (
            Lookup(
                name="getAccount",
                summary="Read an account and its balance",
                tag="accounts",
                ask=get_account,
                answer=models.AccountWithBalance,
            ),
        ),
    ),
    Route(
        "/api/transactions",
        (
            Operation(
                method="POST",
                name="recordTransaction",
                summary="Record a transaction",
                tag="transactions",
                unit=record_transaction,
                body=models.NewTransaction,
                answer=models.Transaction,
                status=201,
                location="/api/transactions/{id}",
                once=True,
                problems={422: "So does one that names an unknown account or does not balance."},
            ),
            Lookup(
                name="listTransactions",
                summary="List transactions, the newest first",
                tag="transactions",
                ask=list_transactions,
                query=models.TransactionQuery,
                answer=models.TransactionPage,
            ),
        ),
    ),
    Route(
        "/api/transactions/{id}",
        (
            Lookup(
                name="getTransaction",
                summary="Read a transaction",
                tag="transactions",
                ask=get_transaction,
                answer=models.Transaction,
            ),
        ),
    ),
    Route(
        "/api/trial-balance",
        (
            Lookup(
                name="getTrialBalance",
                summary="Balance the books",
                tag="trial balance",
                ask=get_trial_balance,
                answer=models.TrialBalance,
            ),
        ),
    ),
)
