"""Pages of a listing: a limit, an opaque cursor, and the same rows for whoever walks it.

A cursor is the id of the last item seen. Ids only grow, so every row that was there when a walk
began is seen exactly once, whatever is inserted meanwhile.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

T = TypeVar("T")

MOST = 200
DEFAULT_LIMIT = 50
LARGEST_ID = 2**63 - 1

_CURSOR_PATTERN = "^[0-7][0-9a-f]{15}$"
_CURSOR = re.compile("[0-7][0-9a-f]{15}")
_DIGITS = re.compile("[1-9][0-9]{0,18}")


def read_id(text: Any) -> int | None:
    """An id from a path or a query, None if it cannot be one.

    >>> read_id("42"), read_id("042"), read_id("9223372036854775808")
    (42, None, None)
    """
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None


def _read_limit(text: Any) -> int:
    number = read_id(text)
    if number is None or number > MOST:
        raise PydanticCustomError("limit", f"Send one whole number from 1 to {MOST}.")
    return number


def _read_query_id(text: Any) -> int:
    number = read_id(text)
    if number is None:
        raise PydanticCustomError("id", "Send one id, a whole number from 1.")
    return number


def _read_cursor(text: Any) -> int:
    if not isinstance(text, str) or not _CURSOR.fullmatch(text):
        raise PydanticCustomError("cursor", "Send one next_cursor of an earlier answer.")
    return int(text, 16)


Limit = Annotated[
    int,
    BeforeValidator(_read_limit),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}),
]
Cursor = Annotated[
    int,
    BeforeValidator(_read_cursor),
    WithJsonSchema({"type": "string", "pattern": _CURSOR_PATTERN}),
]
QueryId = Annotated[
    int,
    BeforeValidator(_read_query_id),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST_ID}),
]


class PageQuery(BaseModel):
    """The query of any listing. Unknown parameters are refused, so a typing error is seen."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = Field(default=DEFAULT_LIMIT, description="Items on a page.")
    cursor: Cursor | None = Field(default=None, description="Where to go on: `next_cursor`.")


def next_cursor(ids: Sequence[int], limit: int) -> str | None:
    """The cursor behind the page, None if it was the last; `ids` holds one more than the page."""
    return f"{ids[limit - 1]:016x}" if len(ids) > limit else None
