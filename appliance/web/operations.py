"""Operations: what an endpoint takes and answers, said once, for the code and for the document."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import falcon
from pydantic import BaseModel

from appliance.postgres.connect import Connection
from appliance.postgres.transact import Database
from appliance.web import bodies, idempotency
from appliance.web.answers import Answer
from appliance.web.api_keys import identify, read_credentials
from appliance.web.pagination import read_id
from appliance.web.problems import ProblemError

Unit = Callable[[Connection, Any], BaseModel]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What the document says of one method of one path.

    `problems` are refusals of its own by status; `unready` is its answer when it is a 503.
    """

    method: str
    name: str
    summary: str
    tag: str
    answer: type[BaseModel]
    status: int = 200
    public: bool = False
    problems: Mapping[int, str] = field(default_factory=dict)
    unready: type[BaseModel] | None = None


@dataclass(frozen=True, kw_only=True)
class Operation(Endpoint):
    """An endpoint whose answer is a unit of work.

    The unit gets the connection and one value: the body, the query or the id in the path. `once`
    honours Idempotency-Key. `location` is the path of what was made, with `{id}` in it.
    """

    unit: Unit
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    once: bool = False
    location: str | None = None

    def run(self, connection: Connection, value: Any) -> Answer:
        """Run the unit and render what it returns."""
        made = self.unit(connection, value)
        location = self.location.format(id=getattr(made, "id", "")) if self.location else None
        return Answer(self.status, made.model_dump_json().encode(), location)


@dataclass(frozen=True)
class Route:
    """A path and its operations."""

    path: str
    operations: Sequence[Operation]


class Resource:
    """Answers the operations of a route; the key is checked in the transaction of the work."""

    def __init__(self, route: Route, database: Database, max_body_bytes: int) -> None:
        self._database = database
        self._max_body_bytes = max_body_bytes
        self._path = route.path
        for operation in route.operations:
            responder = partial(self._answer, operation)
            setattr(self, f"on_{operation.method.lower()}", responder)
            if operation.method == "GET":
                self.on_head = responder

    def _answer(
        self, operation: Operation, req: falcon.Request, resp: falcon.Response, **path: str
    ) -> None:
        credentials = read_credentials(req.env.get("HTTP_AUTHORIZATION"))
        try:
            value, claim = self._read(operation, req, path)
        except ProblemError:
            # Who may not ask is told that, not what is wrong with the question.
            self._database.read(lambda connection: identify(connection, credentials))
            raise

        def unit(connection: Connection) -> Answer:
            key = identify(connection, credentials)
            return idempotency.once(
                connection, key, claim, lambda: operation.run(connection, value)
            )

        transact = self._database.write if operation.method == "POST" else self._database.read
        transact(unit).send(resp)

    def _read(
        self, operation: Operation, req: falcon.Request, path: Mapping[str, str]
    ) -> tuple[Any, idempotency.Claim | None]:
        if operation.body is not None:
            body = bodies.receive(req, self._max_body_bytes)
            header = req.env.get("HTTP_IDEMPOTENCY_KEY") if operation.once else None
            claim = idempotency.read_claim(header, self._path, body)
            return bodies.parse(body, operation.body), claim
        if operation.query is not None:
            return bodies.parse_query(req.params, operation.query), None
        return self._read_path_id(path), None

    def _read_path_id(self, path: Mapping[str, str]) -> int | None:
        if "id" not in path:
            return None
        number = read_id(path["id"])
        if number is None:
            raise ProblemError(404, "There is nothing at this path: an id is a whole number.")
        return number
