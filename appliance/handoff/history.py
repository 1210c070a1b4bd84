"""What is remembered of handoffs: in the database, so that it moves with it."""

import socket
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from appliance import __version__
from appliance.database.connect import Connection
from appliance.database.holds import Hold
from appliance.handoff.messages import Taken
from appliance.handoff.phases import milliseconds

KEPT = 1000

_RECORD = """
    INSERT INTO appliance.handoffs (kind, served_at, from_instance, from_hostname, from_version,
        to_instance, to_hostname, to_version, phases_ms)
    VALUES (%s, clock_timestamp(), %s, %s, %s, %s, %s, %s, %s)
"""
_RECORD_HOLD = """
    INSERT INTO appliance.holds (instance, began_at, ended_at, requests, given_up, longest_ms)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
# What was held because of a handoff began before it was over and ended after.
_LATEST = """
    SELECT h.kind, h.served_at, h.from_hostname, h.from_version, h.to_hostname, h.to_version,
        h.phases_ms, coalesce(sum(held.requests), 0), coalesce(sum(held.given_up), 0),
        coalesce(max(held.longest_ms), 0)
    FROM appliance.handoffs h
    LEFT JOIN appliance.holds held
        ON held.began_at <= h.served_at AND held.ended_at >= h.served_at - interval '1 second'
    GROUP BY h.id ORDER BY h.id DESC LIMIT %s
"""
_PRUNE = "DELETE FROM appliance.{0} WHERE id <= (SELECT max(id) - %s FROM appliance.{0})"


@dataclass(frozen=True)
class Handoff:
    """One change of hands. `phases_ms` are milliseconds; `away` is how long nobody could be asked.

    `requests_held` waited for it in all containers, the longest of them for `longest_hold_ms`;
    `requests_given_up` of them were answered with a 503.
    """

    kind: str
    served_at: datetime
    from_hostname: str | None
    from_version: str | None
    to_hostname: str
    to_version: str
    phases_ms: dict[str, float]
    requests_held: int
    requests_given_up: int
    longest_hold_ms: float

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "served_at": self.served_at.isoformat(timespec="milliseconds")}


def record(owner: Connection, instance: str, taken: Taken, serving_at: float) -> str:
    """Write a row about what `taken` tells, and return it as words for the log.

    `serving_at` is when Postgres began to answer, in seconds of the monotonic clock; 0 if nobody
    knows.
    """
    previous = taken.previous
    kind, phases = _kind(taken, instance), _phases(taken, serving_at)
    owner.execute(
        _RECORD,
        (
            kind,
            previous and previous.instance,
            previous and previous.hostname,
            previous and previous.version,
            instance,
            socket.gethostname(),
            __version__,
            Jsonb(phases),
        ),
    )
    return _words(kind, phases, previous.hostname if previous else None)


def record_hold(api: Connection, instance: str | None, hold: Hold) -> None:
    """Write down what one worker process held."""
    api.execute(
        _RECORD_HOLD,
        (
            instance,
            hold.began_at,
            hold.ended_at,
            hold.requests,
            hold.given_up,
            hold.longest_ms,
        ),
    )


def latest(connection: Connection, count: int) -> list[Handoff]:
    """The last ones, newest first."""
    return [Handoff(*row) for row in connection.execute(_LATEST, (count,))]


def prune(owner: Connection) -> None:
    """Forget all but the newest rows."""
    for table in ("handoffs", "holds"):
        owner.execute(_PRUNE.format(table).encode(), (KEPT,))


def _kind(taken: Taken, instance: str) -> str:
    if taken.was_successor:
        return "handoff"
    return "takeover" if taken.previous and taken.previous.instance != instance else "restart"


def _phases(taken: Taken, serving_at: float) -> dict[str, float]:
    phases = dict(taken.phases_ms)
    if taken.stopping_at:
        phases["stop"] = milliseconds(taken.stopping_at, taken.at)
    phases["prepare"] = milliseconds(taken.at, taken.prepared)
    if serving_at:
        phases["start"] = milliseconds(taken.prepared, serving_at)
        phases["away"] = milliseconds(taken.stopping_at or taken.at, serving_at)
    return phases


def _words(kind: str, phases: dict[str, float], previous: str | None) -> str:
    what = {
        "handoff": f"the database came from container {previous}",
        "takeover": f"the database was taken over from container {previous}",
        "restart": "the database is back",
    }[kind]
    named = ("checkpoint", "stop", "prepare", "start")
    parts = ", ".join(f"{name} {phases[name]:.0f}" for name in named if name in phases)
    away = f"away for {phases['away']:.0f} ms; " if "away" in phases else ""
    return f"{what}: {away}{parts} ms"
