"""What every path that needs a key has in common: who asks, and what is asked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import falcon

from appliance.database.pipeline import Query, Rows
from appliance.database.units_of_work import Database
from appliance.web import idempotency, request_bodies
from appliance.web.answers import Answer
from appliance.web.api_keys import ApiCredentials, Caller, find_caller, read_key
from appliance.web.endpoints import Endpoint
from appliance.web.problems import ProblemError

AnEndpoint = TypeVar("AnEndpoint", bound=Endpoint)


@dataclass(frozen=True, slots=True)
class RequestValues:
    """What a request says; None for what its endpoint does not take. `part` is of the path."""

    part: Any = None
    query: Any = None
    body: Any = None
    claim: idempotency.Claim | None = None

    @property
    def value(self) -> Any:
        """The one that its endpoint takes, None if it takes none."""
        given = (self.body, self.query, self.part)
        return next((one for one in given if one is not None), None)


class AuthenticatedResource(ABC, Generic[AnEndpoint]):
    """Answers the endpoints of a path."""

    def __init__(
        self, path: str, endpoints: Sequence[AnEndpoint], database: Database, max_body_bytes: int
    ) -> None:
        self.database = database
        self._path = path
        self._max_body_bytes = max_body_bytes
        for endpoint in endpoints:
            responder = partial(self._respond, endpoint)
            setattr(self, f"on_{endpoint.method.lower()}", responder)
            if endpoint.method == "GET":
                self.on_head = responder

    @abstractmethod
    def serve(
        self, endpoint: AnEndpoint, credentials: ApiCredentials, values: RequestValues
    ) -> Answer:
        """Do what is asked, if whoever asks may: `admit` says so."""

    def _respond(
        self, endpoint: AnEndpoint, req: falcon.Request, resp: falcon.Response, **path: str
    ) -> None:
        credentials = read_credentials(req.env.get("HTTP_AUTHORIZATION"))
        try:
            values = self._read(endpoint, req, path)
        except ProblemError:
            # Who may not ask is told that, not what is wrong with the question.
            self.database.ask(admit(endpoint, credentials))
            raise
        self.serve(endpoint, credentials, values).send(resp)

    def _read(
        self, endpoint: AnEndpoint, req: falcon.Request, path: Mapping[str, str]
    ) -> RequestValues:
        part = query = body = claim = None
        if path:
            part = endpoint.parameter.read(path[endpoint.parameter.name])
        if endpoint.query is not None:
            query = request_bodies.parse_query(req.params, endpoint.query)
        if endpoint.body is not None:
            content = request_bodies.receive(
                req, self._max_body_bytes, required=endpoint.body_required
            )
            header = req.env.get("HTTP_IDEMPOTENCY_KEY") if endpoint.once else None
            claim = idempotency.read_claim(header, self._path, content)
            body = request_bodies.parse(content, endpoint.body)
        return RequestValues(part, query, body, claim)


def read_credentials(authorization: str | None) -> ApiCredentials:
    """Read an Authorization header; raises 401 if it holds no key."""
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthorized("Send an API key: Authorization: Bearer ap_...", "Bearer")
    credentials = read_key(text.strip())
    if credentials is None:
        raise _invalid()
    return credentials


def admit(endpoint: Endpoint, credentials: ApiCredentials) -> Query[Caller]:
    """Ask who asks; its answer raises 401 without a live key, 403 if it has not the right."""
    whose = find_caller(credentials)

    def read(rows: Rows) -> Caller:
        caller = whose.read(rows)
        if caller is None:
            raise _invalid()
        if endpoint.admin and not caller.admin:
            raise ProblemError(
                403,
                "This API key may not do that. Make one that may: "
                "appliance keys create NAME --admin",
                kind="admin-only",
            )
        return caller

    return Query(whose.statement, whose.values, read)


def _invalid() -> ProblemError:
    return _unauthorized(
        "This API key is not valid, or it was revoked.", 'Bearer error="invalid_token"'
    )


def _unauthorized(detail: str, challenge: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": challenge})
