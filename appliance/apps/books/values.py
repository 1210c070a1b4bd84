"""The values that books are made of: money, currencies, dates, texts.

Money is a decimal string outside, a Decimal here and an unconstrained numeric in the database; the
digits that were written are kept (`"1.50"` stays `"1.50"`). Above zero is a debit, below a credit.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

INTEGER_DIGITS = 15
FRACTION_DIGITS = 8

_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?")
_AMOUNT_SCHEMA = {
    "type": "string",
    "pattern": r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?$",
    "not": {"pattern": r"^-?0(\.0+)?$"},
    "description": "A decimal number that is not zero. Debits are positive, credits negative.",
    "examples": ["12.50", "-12.50"],
}
_MONEY_SCHEMA = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.50"]}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Postgres stores no NUL, and other control characters have no place in a name.
_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"


class Kind(StrEnum):
    """The five kinds of accounts."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


def _read_amount(value: Any) -> Decimal:
    if not isinstance(value, str):
        raise PydanticCustomError(
            "amount", 'Send the amount as a decimal string, like "12.50": JSON numbers are inexact.'
        )
    if not _AMOUNT.fullmatch(value):
        raise PydanticCustomError(
            "amount",
            f'Write the amount like "-12.50": at most {INTEGER_DIGITS} digits before the point '
            f"and {FRACTION_DIGITS} behind it, no exponent, no leading zeros.",
        )
    amount = Decimal(value)
    if not amount:
        raise PydanticCustomError("amount", "An amount of zero says nothing.")
    return amount


def _read_date(value: Any) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("date", "Send a date as YYYY-MM-DD.")


def _write_money(value: Decimal) -> str:
    return format(value, "f")


def _write_time(value: datetime) -> str:
    # Without its time zone, of which Python would otherwise ask the offset: twice as fast.
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


Amount = Annotated[
    Decimal,
    BeforeValidator(_read_amount),
    PlainSerializer(_write_money, return_type=str),
    WithJsonSchema(_AMOUNT_SCHEMA),
]
Money = Annotated[
    Decimal, PlainSerializer(_write_money, return_type=str), WithJsonSchema(_MONEY_SCHEMA)
]
Date = Annotated[
    date, BeforeValidator(_read_date), WithJsonSchema({"type": "string", "format": "date"})
]
Timestamp = Annotated[
    datetime,
    PlainSerializer(_write_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$"), Field(examples=["EUR"])]
AccountName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE)]
Description = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_PRINTABLE)]
