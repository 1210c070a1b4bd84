"""Operations: endpoints whose work is one transaction, in which the key is checked, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from appliance.database.connect import Connection
from appliance.database.pipeline import Query
from appliance.database.units_of_work import Database
from appliance.web import idempotency
from appliance.web.answers import Answer
from appliance.web.api_keys import ApiCredentials, Caller
from appliance.web.authenticated import AuthenticatedResource, RequestValues, admit
from appliance.web.endpoints import Endpoint
from appliance.web.problems import ProblemError

RequestUnit = Callable[[Connection, Any], BaseModel]

_MOST_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True)
class _Answering(Endpoint):
    def render(self, made: BaseModel) -> Answer:
        """Make the answer of what the unit or the query has made."""
        location = self.location.format(id=getattr(made, "id", "")) if self.location else None
        return Answer(self.status, made.model_dump_json().encode(), location)


@dataclass(frozen=True, kw_only=True)
class Operation(_Answering):
    """An endpoint whose answer is a unit of work.

    The unit gets the connection and one value: the body, the query or the id in the path.
    """

    unit: RequestUnit

    def run(self, connection: Connection, values: RequestValues) -> Answer:
        """Run the unit and render what it returns."""
        return self.render(self.unit(connection, values.value))


@dataclass(frozen=True, kw_only=True)
class Lookup(_Answering):
    """An endpoint whose answer is one query, which is sent together with all that is around it.

    So it is the faster one. `ask` gets the same value as a unit does, and returns the query.
    """

    method: str = "GET"
    ask: Callable[[Any], Query[Any]]


@dataclass(frozen=True)
class Route:
    """A path and its operations."""

    path: str
    operations: Sequence[Operation | Lookup]


class OperationResource(AuthenticatedResource[Operation | Lookup]):
    """Answers operations and lookups. `is_lookup`: a GET is one of the latter."""

    def __init__(
        self,
        path: str,
        endpoints: Sequence[Operation | Lookup],
        database: Database,
        max_body_bytes: int,
    ) -> None:
        super().__init__(path, endpoints, database, max_body_bytes)
        self.is_lookup = any(isinstance(endpoint, Lookup) for endpoint in endpoints)
        self._known: set[ApiCredentials] = set()

    def serve(
        self, endpoint: Operation | Lookup, credentials: ApiCredentials, values: RequestValues
    ) -> Answer:
        """Do it in a transaction that writes if it is a POST."""
        if isinstance(endpoint, Lookup):
            return self._look_up(endpoint, credentials, values)
        if endpoint.method == "POST":
            return self._write(endpoint, credentials, values)
        return self.database.read(
            lambda connection, _caller: endpoint.run(connection, values),
            opening=[admit(endpoint, credentials)],
        )

    def _look_up(
        self, endpoint: Lookup, credentials: ApiCredentials, values: RequestValues
    ) -> Answer:
        """Check the key and answer in one round trip, if the key was right the last time.

        What a stranger asks is not even sent: it could be what costs the database most.
        """
        admission = admit(endpoint, credentials)
        try:
            if credentials not in self._known:
                self.database.ask(admission)
            _, made = self.database.ask(admission, endpoint.ask(values.value))
        except ProblemError as problem:
            if problem.status == HTTPStatus.UNAUTHORIZED:
                self._known.discard(credentials)
            raise
        self._remember(credentials)
        return endpoint.render(made)

    def _remember(self, credentials: ApiCredentials) -> None:
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known.add(credentials)

    def _write(
        self, endpoint: Operation, credentials: ApiCredentials, values: RequestValues
    ) -> Answer:
        admission = admit(endpoint, credentials)
        if (claim := values.claim) is None:
            return self.database.write(
                lambda connection, _caller: endpoint.run(connection, values), opening=[admission]
            )

        def unit(connection: Connection, caller: Caller, is_first: bool) -> tuple[Caller, Answer]:
            if is_first:
                return caller, endpoint.run(connection, values)
            (kept,) = connection.run(idempotency.replay(claim, caller))
            return caller, kept

        def closing(done: tuple[Caller, Answer]) -> Sequence[Query[Any]]:
            caller, answer = done
            return [] if answer.replayed else [idempotency.keep(claim, caller, answer)]

        opening: list[Query[Any]] = [admission, idempotency.claim_key(claim, credentials)]
        _, answer = self.database.write(unit, opening, closing)
        return answer
