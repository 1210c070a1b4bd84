"""Endpoints: what each takes and answers, said once, for the code and for the document."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from appliance.web.pagination import LARGEST_ID, read_id
from appliance.web.problems import ProblemError


@dataclass(frozen=True)
class Parameter:
    """The part of a path that varies; `{name}` stands for it.

    `schema` and `problems`, refusals by status, are for the document. `read` makes a value of what
    stands there, or raises ProblemError.
    """

    name: str
    schema: Mapping[str, Any]
    problems: Mapping[int, str]
    read: Callable[[str], Any]

    def is_in(self, path: str) -> bool:
        """Whether a path has it."""
        return f"{{{self.name}}}" in path


def _read_id(text: str) -> int:
    number = read_id(text)
    if number is None:
        raise ProblemError(404, "There is nothing at this path: an id is a whole number.")
    return number


ID = Parameter(
    name="id",
    schema={"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
    problems={404: "There is nothing with this id."},
    read=_read_id,
)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What one method of one path takes and answers.

    A `public` one needs no key, an `admin` one a key that has this right. `parameter` is what
    varies in its path, if something does. `once` honours Idempotency-Key. `location` is the path of
    what was made, with the parameter in it. `problems` are refusals of its own by status; `also`
    are other answers that are none.
    """

    method: str
    name: str
    summary: str
    tag: str
    answer: type[BaseModel]
    status: int = 200
    public: bool = False
    admin: bool = False
    parameter: Parameter = ID
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_required: bool = True
    once: bool = False
    location: str | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
