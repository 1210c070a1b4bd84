"""The WSGI app, wired on one screen."""

from collections.abc import Sequence
from typing import Any

import falcon
from falcon.routing import CompiledRouter

from appliance import __version__
from appliance.api import health
from appliance.api.backups import backup_routes as backups
from appliance.apps.contract import App
from appliance.database.units_of_work import Database
from appliance.migrations.schema_check import SchemaGate
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.web import docs_page, openapi, problems
from appliance.web.operations import OperationResource, Route
from appliance.web.problems import ProblemError
from appliance.web.request_log import RequestLog

DESCRIPTION = "Errors are problem documents (RFC 9457) with the request's id."


def create_app(
    settings: Settings, storage: Storage, database: Database, gate: SchemaGate, guest: App
) -> "Api":
    """Make the WSGI app, with a guest in it. It opens no connection before its first request."""
    routes: Sequence[Route] = guest.routes()
    layers: list[Any] = [RequestLog(settings.trust_proxy_hops), _Gatekeeper(gate)]
    app = Api(layers)
    problems.install(app)
    resources: dict[str, object] = {
        **health.resources(settings, storage, database, gate),
        **{
            route.path: OperationResource(
                route.path, route.operations, database, settings.max_body_bytes
            )
            for route in routes
        },
        **backups.resources(settings, storage, database),
    }
    for path, resource in resources.items():
        app.add_route(path, resource)
    docs_page.install(app, document(guest, routes))
    return app


def document(guest: App, routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of everything above."""
    of_guest = [(route.path, route.operations) for route in routes]
    paths = [*health.ENDPOINTS, *of_guest, *backups.ENDPOINTS]
    description = f"{guest.description} {DESCRIPTION}".lstrip()
    return openapi.build("Appliance", __version__, description, paths)


class Api(falcon.App[Any, Any]):
    """A Falcon app that also knows which of its paths are lookups."""

    def __init__(self, middleware: Sequence[Any]) -> None:
        self._paths = CompiledRouter()
        super().__init__(middleware=middleware, router=self._paths)

    def is_lookup(self, path: str) -> bool:
        """Whether a GET of this path, as it stands in a request, waits for one query only."""
        # What is percent-encoded may lead elsewhere.
        found = None if "%" in path else self._paths.find(path)
        return found is not None and getattr(found[0], "is_lookup", False)


class _Gatekeeper:
    """Middleware: nothing but health is served until the schema is what this version needs."""

    def __init__(self, gate: SchemaGate) -> None:
        self._gate = gate

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        if req.path not in health.PATHS and not self._gate.open():
            raise ProblemError(
                503,
                "The database's schema is being brought up to date.",
                kind="schema-behind",
                headers={"Retry-After": "1"},
            )
