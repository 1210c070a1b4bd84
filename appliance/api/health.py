"""Is it running (/health), would a request be served now (/up), and if not, why (/ready)."""

from typing import Any, Literal

import falcon
from pydantic import BaseModel

from appliance.api import probes
from appliance.api.probes import Probe, ProbeResult
from appliance.database.connect import Connection
from appliance.database.units_of_work import Database
from appliance.facts import DatabaseFacts, StorageFacts
from appliance.handoff.history import Handoff
from appliance.migrations.schema_check import SchemaGate, TrackState
from appliance.settings import Settings
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system import clock
from appliance.web.endpoints import Endpoint
from appliance.web.problems import ProblemError

PATHS = frozenset({"/health", "/up", "/ready"})


class Health(BaseModel):
    """The server runs."""

    status: Literal["ok"]
    timestamp: str


class Up(BaseModel):
    """A request would be served now."""

    status: Literal["up"]


class Readiness(BaseModel):
    """Every check; one that failed has `ok: false` and an `error`. `backup` never counts."""

    ok: bool
    checks: dict[str, dict[str, Any]]
    durations_ms: dict[str, float]


ENDPOINTS = (
    (
        "/health",
        [
            Endpoint(
                method="GET",
                name="getHealth",
                summary="Does the server run? Asks nothing else",
                tag="health",
                answer=Health,
                public=True,
            )
        ],
    ),
    (
        "/up",
        [
            Endpoint(
                method="GET",
                name="getUp",
                summary="Would a request be served now?",
                tag="health",
                answer=Up,
                public=True,
                problems={503: "A request would not be served now."},
            )
        ],
    ),
    (
        "/ready",
        [
            Endpoint(
                method="GET",
                name="getReady",
                summary="Every check, with its duration",
                tag="health",
                answer=Readiness,
                public=True,
                also={503: Readiness},
            )
        ],
    ),
)


def resources(
    settings: Settings, storage: Storage, database: Database, gate: SchemaGate
) -> dict[str, object]:
    """The resources by path."""
    checks = _Checks(settings, storage, database, gate)
    ready = {
        "database": Probe("probe-database", checks.database),
        "migrations": Probe("probe-migrations", checks.migrations),
        "ownership": Probe("probe-ownership", checks.ownership),
        "handoffs": Probe("probe-handoffs", checks.handoffs),
        "storage": Probe("probe-storage", checks.storage),
        "backup": Probe("probe-backup", checks.backup),
    }
    up = Probe("probe-up", checks.up)
    return {"/health": _Health(), "/up": _Up(up), "/ready": _Ready(ready)}


class _Checks:
    """The questions; each answers with facts or raises."""

    def __init__(
        self, settings: Settings, storage: Storage, database: Database, gate: SchemaGate
    ) -> None:
        self._instance = settings.appliance_instance
        self._storage = storage
        self._database = database
        self._gate = gate
        self._handoff_complete = False

    def up(self) -> dict[str, Any]:
        # Before it is, Postgres would note a refusal for each time that it is asked.
        if not self._is_handoff_complete():
            return {"handoff_complete": False}
        self._database.probe(_round_trip, probes.LIMIT_S)
        return {"handoff_complete": True, "in_sync": self._gate.open()}

    def _is_handoff_complete(self) -> bool:
        # The API that runs alone takes no part in handoffs.
        if not self._handoff_complete and self._instance:
            self._handoff_complete = InstanceDirectory(
                self._storage, self._instance
            ).is_handoff_complete()
        return self._handoff_complete or not self._instance

    def database(self) -> dict[str, Any]:
        self._database.probe(_round_trip, probes.LIMIT_S)
        return {"ok": True}

    def migrations(self) -> dict[str, Any]:
        state = self._gate.state()
        app = {"name": state.app.name, **_track(state.app)} if state.app else None
        facts = {"engine": _track(state.engine), "app": app, "client": _track(state.client)}
        # The gate may be open although the schema is behind: SKIP_SCHEMA_CHECK.
        return {"ok": self._gate.open(), "message": state.message, **facts}

    def ownership(self) -> dict[str, Any]:
        found = StorageFacts(self._storage)
        if (owner := found.owner) is None:
            return {"ok": True, "role": "none", "owner": None}
        return {
            "ok": True,
            "role": "owner" if owner.instance == self._instance else "standby",
            "settled": self._is_handoff_complete(),
            "owner": vars(owner),
            "standbys": [vars(standby) for standby in found.standbys],
        }

    def handoffs(self) -> dict[str, Any]:
        found = self._database.probe(_handoffs, probes.LIMIT_S)
        return {"ok": True, "latest": [handoff.to_json() for handoff in found]}

    def storage(self) -> dict[str, Any]:
        space = StorageFacts(self._storage).disk_space
        # The API's user may write nothing here; what counts is whether the file system takes it.
        writable = space.free_bytes > 0 and not space.read_only
        return {"ok": writable, "free_bytes": space.free_bytes, "writable": writable}

    def backup(self) -> dict[str, Any]:
        found = StorageFacts(self._storage).backup
        return {"ok": found.ok, **found.to_json(clock.utc_now())}


class _Health:
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        _send(resp, Health(status="ok", timestamp=clock.timestamp_ms()))

    on_head = on_get


class _Up:
    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        finding = probes.run({"up": self._probe})["up"]
        if finding.error is not None:
            raise _down(f"The database does not answer: {finding.error}")
        if not finding.facts["handoff_complete"]:
            raise _down("This container is starting, or the database is about to change hands.")
        if not finding.facts["in_sync"]:
            raise _down("The database's schema is being brought up to date.")
        _send(resp, Up(status="up"))

    on_head = on_get


class _Ready:
    def __init__(self, checks: dict[str, Probe]) -> None:
        self._checks = checks

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        found = probes.run(self._checks)
        checks = {name: _report(finding) for name, finding in found.items()}
        # Whatever is wrong with backups is no reason to refuse traffic.
        ok = all(check["ok"] for name, check in checks.items() if name != "backup")
        durations = {name: finding.duration_ms for name, finding in found.items()}
        resp.status = 200 if ok else 503
        _send(resp, Readiness(ok=ok, checks=checks, durations_ms=durations))

    on_head = on_get


def _round_trip(connection: Connection) -> None:
    connection.execute("SELECT 1").fetchone()


def _handoffs(connection: Connection) -> list[Handoff]:
    return DatabaseFacts(connection).handoffs


def _track(state: TrackState) -> dict[str, Any]:
    return {"applied": state.applied, "required": state.required, "pending": list(state.pending)}


def _report(finding: ProbeResult) -> dict[str, Any]:
    if finding.error is not None:
        return {"ok": False, "error": finding.error}
    return finding.facts


def _down(detail: str) -> ProblemError:
    return ProblemError(503, detail, kind="not-up", headers={"Retry-After": "1"})


def _send(resp: falcon.Response, answer: BaseModel) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.cache_control = ["no-store"]
    resp.data = answer.model_dump_json().encode()
