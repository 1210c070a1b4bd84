"""RFC 9457 problems: every error answer has this one shape."""

import json
import traceback
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import falcon
import psycopg
from pydantic import BaseModel, Field

from appliance.database.holds import NOTHING_CHANGED, DatabaseUnavailable
from appliance.system.log import write_block, write_line

MEDIA_TYPE = "application/problem+json"
PROGRAM = "api"

_KIND_PREFIX = "urn:appliance:problem:"
_STATUSES = frozenset(status.value for status in HTTPStatus)
# RFC 9110's names, which Python has only since 3.13.
_NEW_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class Fault(BaseModel):
    """One thing that is wrong with a request, and where."""

    pointer: str | None = Field(default=None, description="JSON pointer into the request body.")
    parameter: str | None = Field(default=None, description="Name of a parameter or header.")
    message: str


class Problem(BaseModel):
    """An error answer as RFC 9457 has it."""

    type: str = Field(description="`about:blank`, or a name for this kind of problem.")
    title: str
    status: int
    detail: str
    request_id: str = Field(description="The same as in the X-Request-Id header and in the log.")
    errors: list[Fault] | None = None


class ProblemError(Exception):
    """Raised anywhere below a resource, it becomes the answer. `kind` names it for programs."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        errors: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> bytes:
        """The JSON document."""
        document: dict[str, Any] = {
            "type": _KIND_PREFIX + self.kind if self.kind else "about:blank",
            "title": phrase(self.status),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = [fault.model_dump(exclude_none=True) for fault in self.errors]
        return json.dumps(document).encode("ascii")


def unprocessable(detail: str, *faults: Fault, kind: str = "validation") -> ProblemError:
    """A 422: the request is well-formed, but what it says cannot be done."""
    return ProblemError(422, detail, kind=kind, errors=faults)


def phrase(status: int) -> str:
    """The name of an HTTP status, the same on every Python."""
    return _NEW_PHRASES.get(status) or HTTPStatus(status).phrase


def install(app: "falcon.App[Any, Any]") -> None:
    """Make every error of `app` a problem, whoever raised it."""
    app.add_error_handler(Exception, _answer_unexpected)
    app.add_error_handler(falcon.HTTPError, _answer_falcon_error)
    app.add_error_handler(psycopg.OperationalError, _answer_overload)
    app.add_error_handler(DatabaseUnavailable, _answer_unavailable)
    app.add_error_handler(ProblemError, _answer_problem)


def _answer_problem(
    req: falcon.Request, resp: falcon.Response, error: ProblemError, _params: Any
) -> None:
    resp.status = error.status
    resp.content_type = MEDIA_TYPE
    resp.text = None
    resp.data = error.body(req.context.request_id)
    for name, value in error.headers.items():
        resp.set_header(name, value)


def _answer_unavailable(
    req: falcon.Request, resp: falcon.Response, error: DatabaseUnavailable, params: Any
) -> None:
    problem = ProblemError(
        503,
        f"{error.message} {error.outcome}",
        kind="database-unavailable",
        headers={"Retry-After": str(error.retry_after_s)},
    )
    _answer_problem(req, resp, problem, params)


def _answer_overload(
    req: falcon.Request, resp: falcon.Response, error: psycopg.OperationalError, params: Any
) -> None:
    """The database answers, but cannot do it now: the disk is full, a statement took too long."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    write_line(
        PROGRAM,
        f"the database refused a request: {reason}",
        level="warning",
        request_id=req.context.request_id,
    )
    unavailable = DatabaseUnavailable(NOTHING_CHANGED)
    _answer_unavailable(req, resp, unavailable, params)


def _answer_falcon_error(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: Any
) -> None:
    status = error.status_code if error.status_code in _STATUSES else 400
    detail = error.description or f"{phrase(status)}."
    headers = error.headers if isinstance(error.headers, Mapping) else dict(error.headers or ())
    if status == HTTPStatus.NOT_FOUND:
        detail = "There is nothing at this path."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"This path answers {headers.get('Allow', 'no method')} only."
    _answer_problem(req, resp, ProblemError(status, detail, headers=headers), params)


def _answer_unexpected(
    req: falcon.Request, resp: falcon.Response, _error: Exception, params: Any
) -> None:
    write_block(
        PROGRAM,
        f"a request failed\n{traceback.format_exc()}",
        request_id=req.context.request_id,
    )
    detail = "Something went wrong here. The log has it under this request id."
    _answer_problem(req, resp, ProblemError(500, detail), params)
