"""The books as the appliance knows them; what they are made of is loaded when it is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.apps.contract import App
from appliance.database.connect import Connection


def _routes() -> Sequence[Any]:
    from appliance.apps.books.routes import ROUTES

    return ROUTES


def _check(connection: Connection) -> str | None:
    from appliance.apps.books.trial_balance import get_trial_balance

    there = connection.execute("SELECT to_regclass('public.postings') IS NOT NULL").fetchone()
    if there == (True,) and not connection.run(get_trial_balance())[0].balanced:
        return "The books do not balance: the trial balance is not zero."
    return None


BOOKS = App(
    name="books",
    description="Double entry bookkeeping. Money is always a decimal string; debits are positive, "
    "credits negative.",
    migrations=Path(__file__).parent / "migrations",
    formerly="0003_books.sql",
    routes=_routes,
    check=_check,
    checked="the books balance",
    counts={"accounts": "public.accounts", "transactions": "public.transactions"},
)
