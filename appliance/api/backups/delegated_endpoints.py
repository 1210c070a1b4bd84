"""Delegated endpoints: the agent does the work, since the API may not touch backups.

The key is looked at in a transaction of its own, before: a restore replaces the keys as well.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from appliance.api.backups.backup_models import RunningWork
from appliance.api.backups.backup_problems import problem, unavailable
from appliance.backups.jobs import job_requests
from appliance.database.units_of_work import Database
from appliance.errors import ApplianceError
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.web.answers import Answer
from appliance.web.api_keys import ApiCredentials
from appliance.web.authenticated import AuthenticatedResource, RequestValues, admit
from appliance.web.endpoints import Endpoint

WORK = "/api/backup-work/{id}"
# Proxies give up at 30.
ANSWER_WITHIN_S = 20.0

_ASK_FOR_S = 1.0


@dataclass(frozen=True, kw_only=True)
class DelegatedEndpoint(Endpoint):
    """An endpoint that has the agent do `action`, with arguments made of what was asked.

    `facts` makes its answer of the result. One that may take long answers 202 meanwhile.
    """

    action: str
    arguments: Callable[[RequestValues], dict[str, Any]]
    facts: Callable[[Any], dict[str, Any]] = dict
    admin: bool = True

    @property
    def may_take_long(self) -> bool:
        """Whether a 202 may be the answer."""
        return RunningWork in self.also.values()


class DelegatedResource(AuthenticatedResource[DelegatedEndpoint]):
    """Answers by way of the agent of this container."""

    def __init__(
        self,
        path: str,
        endpoints: Sequence[DelegatedEndpoint],
        settings: Settings,
        storage: Storage,
        database: Database,
    ) -> None:
        super().__init__(path, endpoints, database, settings.max_body_bytes)
        self._instance = settings.appliance_instance
        self._storage = storage

    def serve(
        self, endpoint: DelegatedEndpoint, credentials: ApiCredentials, asked: RequestValues
    ) -> Answer:
        """Look at the key, then have it done; the time for both is bounded."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        (caller,) = self.database.ask(admit(endpoint, credentials))
        arguments = endpoint.arguments(asked)
        work_id = secrets.token_hex(8) if endpoint.may_take_long else None
        try:
            outcome = job_requests.ask(
                self._storage,
                self._instance,
                endpoint.action,
                arguments,
                actor=f"key {caller.name}",
                wait_s=max(_ASK_FOR_S, deadline - time.monotonic()),
                work_id=work_id,
            )
        except ApplianceError as error:
            raise problem(error) from error
        if outcome.done:
            return _done(endpoint, arguments, outcome.result)
        if work_id is None:
            raise unavailable("The agent has not answered in time. Try again in a moment.")
        return _running(work_id, arguments, outcome.progress)


def _done(endpoint: DelegatedEndpoint, arguments: dict[str, Any], result: Any) -> Answer:
    location = endpoint.location.format(**arguments) if endpoint.location else None
    return Answer(endpoint.status, _render(endpoint.answer, endpoint.facts(result)), location)


def _running(work_id: str, arguments: dict[str, Any], progress: dict[str, Any]) -> Answer:
    named = {"name": arguments["name"]} if "name" in arguments else {}
    facts = {"id": work_id, **named, "status": "running", "progress": progress}
    return Answer(202, _render(RunningWork, facts), WORK.format(id=work_id))


def _render(model: type[BaseModel], facts: dict[str, Any]) -> bytes:
    return model.model_validate(facts).model_dump_json(by_alias=True, exclude_unset=True).encode()
