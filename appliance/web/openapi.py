"""The OpenAPI 3.1 document, made from the same operations and models that answer requests."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from appliance.web import idempotency, problems, request_bodies
from appliance.web.endpoints import Endpoint

Json = dict[str, Any]
Paths = Iterable[tuple[str, Sequence[Endpoint]]]

_REF = "#/components/schemas/{model}"
# Any request can be refused by the server before it reaches the app, or fail.
_EVERYWHERE = {
    400: "The request is malformed.",
    414: "The request line is too long.",
    431: "The headers are too large.",
    500: "Something went wrong here.",
}
_WITH_A_KEY = {
    401: "There is no valid API key in the request.",
    503: "The database is away, or its schema is not in sync yet.",
}
_ADMIN_ONLY = {403: "The API key has no admin right."}
_WITH_INPUT = {422: "The request breaks a rule; `errors` says which and where."}
_WITH_A_BODY = {413: "The body is too large.", 415: "The body is no JSON by its media type."}
_ONCE = {409: "The Idempotency-Key was used for another request."}
_HEADERS: Json = {
    "X-Request-Id": {
        "description": "The request's id: the one that was sent, if it is usable.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Location": {
        "description": "Where to read what was made, or how what goes on has ended.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` when this is the answer to an earlier request.",
        "schema": {"type": "string", "const": "true"},
    },
}
_OWN_HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}


def build(title: str, version: str, description: str, paths: Paths) -> Json:
    """Make the document."""
    listed = [(path, endpoint) for path, endpoints in paths for endpoint in endpoints]
    operations: dict[str, Json] = {}
    for path, endpoint in listed:
        operations.setdefault(path, {})[endpoint.method.lower()] = _operation(path, endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": operations,
        "components": {
            "schemas": _schemas(endpoint for _, endpoint in listed),
            "headers": _HEADERS,
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `appliance keys create NAME` prints one.",
                }
            },
        },
    }


def _operation(path: str, endpoint: Endpoint) -> Json:
    document: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": _parameters(path, endpoint),
        "responses": _responses(path, endpoint),
        "security": [] if endpoint.public else [{"apiKey": []}],
    }
    if endpoint.body is not None:
        document["requestBody"] = {
            "required": endpoint.body_required,
            "content": _content(endpoint.body, request_bodies.MEDIA_TYPE),
        }
    return document


def _parameters(path: str, endpoint: Endpoint) -> list[Json]:
    found: list[Json] = []
    if endpoint.parameter.is_in(path):
        name, schema = endpoint.parameter.name, endpoint.parameter.schema
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if endpoint.query is not None:
        found += _query_parameters(endpoint.query)
    if endpoint.once:
        found.append(
            {
                "name": idempotency.HEADER,
                "in": "header",
                "description": "Sent again with the same body, it brings the first answer again.",
                "schema": {"type": "string", "pattern": idempotency.PATTERN},
            }
        )
    return found


def _query_parameters(model: type[BaseModel]) -> list[Json]:
    parameters = []
    for name, schema in model.model_json_schema()["properties"].items():
        # A parameter that may be left out is null in Python, but never in a query.
        choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
        described = {k: v for k, v in schema.items() if k not in ("anyOf", "title", "description")}
        if choices:
            described = choices[0]
        text = schema.get("description", "")
        parameters.append({"name": name, "in": "query", "description": text, "schema": described})
    return parameters


def _responses(path: str, endpoint: Endpoint) -> Json:
    refusals = sorted(_refusals(path, endpoint).items())
    others = endpoint.also.items()
    return {
        str(endpoint.status): _answer(endpoint, endpoint.status, endpoint.answer),
        **{str(status): _refusal(status, description) for status, description in refusals},
        **{str(status): _answer(endpoint, status, model) for status, model in others},
    }


def _answer(endpoint: Endpoint, status: int, model: type[BaseModel]) -> Json:
    headers = ["X-Request-Id"]
    # What is only accepted has a place that tells how it ends.
    if status == HTTPStatus.ACCEPTED or (endpoint.location and status < HTTPStatus.BAD_REQUEST):
        headers.append("Location")
    if endpoint.once:
        headers.append("Idempotency-Replayed")
    return {
        "description": problems.phrase(status),
        "headers": _headers(*headers),
        "content": _content(model, request_bodies.MEDIA_TYPE),
    }


def _refusal(status: int, description: str) -> Json:
    own = _OWN_HEADERS.get(status)
    return {
        "description": description,
        "headers": _headers("X-Request-Id", *([own] if own else [])),
        "content": _content(problems.Problem, problems.MEDIA_TYPE),
    }


def _refusals(path: str, endpoint: Endpoint) -> dict[int, str]:
    found: dict[int, list[str]] = {}
    for known in (
        _EVERYWHERE,
        {} if endpoint.public else _WITH_A_KEY,
        _ADMIN_ONLY if endpoint.admin else {},
        endpoint.parameter.problems if endpoint.parameter.is_in(path) else {},
        _WITH_INPUT if endpoint.body or endpoint.query else {},
        _WITH_A_BODY if endpoint.body else {},
        _ONCE if endpoint.once else {},
        endpoint.problems,
    ):
        for status, description in known.items():
            found.setdefault(status, []).append(description)
    return {status: " ".join(descriptions) for status, descriptions in found.items()}


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(model: type[BaseModel], media_type: str) -> Json:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _schemas(endpoints: Iterable[Endpoint]) -> Mapping[str, Any]:
    wanted: dict[type[BaseModel], Literal["validation", "serialization"]] = {
        problems.Problem: "serialization"
    }
    for endpoint in endpoints:
        wanted.update(dict.fromkeys((endpoint.answer, *endpoint.also.values()), "serialization"))
        if endpoint.body is not None:
            wanted[endpoint.body] = "validation"
    _, definitions = models_json_schema(list(wanted.items()), ref_template=_REF)
    return definitions["$defs"]  # type: ignore[no-any-return]  # pydantic says Any
