"""Request bodies: bounded, of the right media type, well-formed and valid."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import falcon
from gunicorn.http.errors import ParseException
from pydantic import BaseModel, ValidationError

from appliance.web.problems import Fault, ProblemError, unprocessable

Model = TypeVar("Model", bound=BaseModel)

MEDIA_TYPE = "application/json"
_MOST_FAULTS = 20


def receive(req: falcon.Request, limit_bytes: int, *, required: bool = True) -> bytes:
    """Read the body; raises 413 beyond the limit and 415 for anything but JSON.

    If it is not `required` and there is none, that means `{}`.
    """
    if not required and _is_empty(req):
        return b"{}"
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        raise ProblemError(415, f"Send the body as {MEDIA_TYPE}.")
    if "HTTP_CONTENT_ENCODING" in req.env:
        raise ProblemError(415, "Send the body without a Content-Encoding.")
    # A chunked body announces no length, so what is read is bounded too.
    if (req.content_length or 0) <= limit_bytes:
        body = _read(req, limit_bytes + 1)
        if len(body) <= limit_bytes:
            return body
    raise ProblemError(413, f"The body is larger than the {limit_bytes} bytes that are taken.")


def _is_empty(req: falcon.Request) -> bool:
    return not req.content_length and "HTTP_TRANSFER_ENCODING" not in req.env


def _read(req: falcon.Request, most: int) -> bytes:
    try:
        body: bytes = req.stream.read(most)
    except (OSError, ParseException) as error:
        # The server's words for a chunk that is malformed, too large or cut off, or a client gone.
        raise ProblemError(400, "The body is malformed or was cut off.") from error
    if len(body) < (req.content_length or 0):
        raise ProblemError(400, "The body is shorter than its Content-Length.")
    return body


def parse(body: bytes, model: type[Model]) -> Model:
    """Turn JSON into the model; raises 400 for what is no JSON, 422 for what breaks the model."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        raise ProblemError(400, f"The body is not JSON. {faults[0]['msg']}", kind="malformed-json")
    raise unprocessable(
        "The body does not have the right form.",
        *(Fault(pointer=_pointer(fault["loc"]), message=fault["msg"]) for fault in _some(faults)),
    )


def parse_query(query: Mapping[str, Any], model: type[Model]) -> Model:
    """Turn query parameters into the model; raises 422 for what breaks it."""
    try:
        return model.model_validate(query)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    raise unprocessable(
        "The query parameters are not right.",
        *(Fault(parameter=str(fault["loc"][0]), message=fault["msg"]) for fault in _some(faults)),
    )


def _some(faults: list[Any]) -> Iterable[Any]:
    return faults[:_MOST_FAULTS]


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)
