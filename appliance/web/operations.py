"""Operations: endpoints whose work is one transaction, in which the key is checked, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from appliance.database.connect import Connection
from appliance.web import idempotency
from appliance.web.answers import Answer
from appliance.web.api_keys import ApiCredentials
from appliance.web.authenticated import AuthenticatedResource, RequestValues, admit
from appliance.web.endpoints import Endpoint

RequestUnit = Callable[[Connection, Any], BaseModel]


@dataclass(frozen=True, kw_only=True)
class Operation(Endpoint):
    """An endpoint whose answer is a unit of work.

    The unit gets the connection and one value: the body, the query or the id in the path.
    """

    unit: RequestUnit

    def run(self, connection: Connection, values: RequestValues) -> Answer:
        """Run the unit and render what it returns."""
        given = (values.body, values.query, values.part)
        made = self.unit(connection, next((one for one in given if one is not None), None))
        location = self.location.format(id=getattr(made, "id", "")) if self.location else None
        return Answer(self.status, made.model_dump_json().encode(), location)


@dataclass(frozen=True)
class Route:
    """A path and its operations."""

    path: str
    operations: Sequence[Operation]


class OperationResource(AuthenticatedResource[Operation]):
    """Answers operations."""

    def serve(
        self, endpoint: Operation, credentials: ApiCredentials, values: RequestValues
    ) -> Answer:
        """Run the operation in a transaction that writes if it is a POST."""

        def unit(connection: Connection) -> Answer:
            caller = admit(connection, endpoint, credentials)
            return idempotency.once(
                connection, caller.id, values.claim, lambda: endpoint.run(connection, values)
            )

        write = endpoint.method == "POST"
        return (self.database.write if write else self.database.read)(unit)
