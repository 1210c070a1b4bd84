"""Makes about half of the generated transactions balance, so that they are recorded too."""

import re
from typing import Any

import schemathesis

_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?")
_MOST = 200


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Balance a transaction between the accounts 1 and 2 if its postings have the right form."""
    if not isinstance(body, dict) or not _are_postings(body.get("postings")):
        return body
    count = len(body["postings"])
    if count % 2 or body.get("date", "") > "2000":
        amounts = ["0.10"] * (count - 1) + [f"-{(count - 1) / 10:.2f}"]
        postings = [{"account_id": i % 2 + 1, "amount": amount} for i, amount in enumerate(amounts)]
        return {**body, "postings": postings}
    return body


def _are_postings(value: Any) -> bool:
    return isinstance(value, list) and 2 <= len(value) <= _MOST and all(map(_is_posting, value))


def _is_posting(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"account_id", "amount"}:
        return False
    account, amount = value["account_id"], value["amount"]
    right_types = type(account) is int and account > 0 and isinstance(amount, str)
    return right_types and bool(_AMOUNT.fullmatch(amount)) and bool(float(amount))
