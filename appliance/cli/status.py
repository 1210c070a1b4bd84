"""What is going on: who owns the database, is the schema in sync, how big is it."""

from dataclasses import asdict
from typing import Any

import click
import psycopg

from appliance import __version__
from appliance.apps import registry
from appliance.cli import context
from appliance.cli.main import print_json
from appliance.database import application_names
from appliance.database.connect import connect, reason
from appliance.errors import ExitCode
from appliance.facts import DatabaseFacts, StorageFacts
from appliance.migrations.schema_check import SchemaState
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import clock
from appliance.system.text import counted, mebibytes, size


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def status(as_json: bool) -> int:
    """Show who owns the database and how it is. Exit code 6 if it does not answer."""
    settings, storage = context.load()
    report = collect(settings, storage)
    if as_json:
        print_json(report)
    else:
        _print(report)
    return ExitCode.OK if report["database"]["ok"] else ExitCode.DATABASE


def collect(settings: Settings, storage: Storage) -> dict[str, Any]:
    """Gather the facts; a database that does not answer is one of them."""
    found = StorageFacts(storage)
    free = found.disk_space.free_bytes if found.exists else None
    return {
        "version": __version__,
        "storage": {"path": str(storage.root), "free_bytes": free},
        "owner": {**asdict(found.owner), "running": found.is_owned} if found.owner else None,
        "standbys": [asdict(standby) for standby in found.standbys],
        "database": _database(settings, storage),
        "backup": found.backup.to_json(clock.utc_now()),
    }


def _database(settings: Settings, storage: Storage) -> dict[str, Any]:
    tracks = load_tracks(registry.load(settings.app).tracks(), settings.client_migrations_dir)
    try:
        with connect(storage, config.OWNER_ROLE, program=application_names.STATUS) as connection:
            found = DatabaseFacts(connection)
            return {
                "ok": True,
                **asdict(found.server),
                "migrations": _migrations(found.schema(tracks)),
                "handoffs": _handoffs(found),
            }
    except psycopg.Error as error:
        return {"ok": False, "error": reason(error)}


def _handoffs(found: DatabaseFacts) -> list[dict[str, Any]]:
    try:
        return [handoff.to_json() for handoff in found.handoffs]
    except psycopg.errors.UndefinedTable:
        # The schema is older than this version.
        return []


def _migrations(state: SchemaState) -> dict[str, Any]:
    return {
        "in_sync": state.in_sync,
        "engine": asdict(state.engine),
        "app": asdict(state.app) if state.app else None,
        "client": asdict(state.client),
    }


def _print(report: dict[str, Any]) -> None:
    free = report["storage"]["free_bytes"]
    room = f", {mebibytes(free)} free" if free is not None else ", which does not exist"
    lines = [
        ("appliance", report["version"]),
        ("storage", f"{report['storage']['path']}{room}"),
        ("owner", _owner_line(report["owner"])),
        *(("standby", _standby_line(standby)) for standby in report["standbys"]),
        ("database", _database_line(report["database"])),
    ]
    if report["database"]["ok"]:
        lines.append(("migrations", _migrations_line(report["database"]["migrations"])))
        lines += [("moved", _handoff_line(one)) for one in report["database"]["handoffs"]]
    lines += [("backup", text) for text in _backup_lines(report["backup"])]
    for name, text in lines:
        click.echo(f"{name:11} {text}")


def _owner_line(owner: dict[str, Any] | None) -> str:
    if owner is None:
        return "none yet"
    who = f"{owner['hostname']} ({owner['instance']}), version {owner['version']}"
    return f"{who}, since {owner['since']}" if owner["running"] else f"none now; last was {who}"


def _standby_line(standby: dict[str, Any]) -> str:
    who = f"{standby['hostname']} ({standby['instance']}), version {standby['version']}"
    since = standby["waits_since"]
    return f"{who}, waits since {since}" if since else f"{who}, starting"


def _handoff_line(handoff: dict[str, Any]) -> str:
    phases = handoff["phases_ms"]
    away = f"away for {phases['away']:.0f} ms" if "away" in phases else "away for an unknown time"
    named = ("claim", "dump", "checkpoint", "second_checkpoint", "stop", "prepare", "start")
    parts = ", ".join(
        f"{name.replace('_', ' ')} {phases[name]:.0f}" for name in named if name in phases
    )
    count = handoff["requests_held"]
    held = (
        f"; held {counted(count, 'request')}, the longest for {handoff['longest_hold_ms']:.0f} ms"
        if count
        else "; no request was held"
    )
    given_up = handoff["requests_given_up"]
    return (
        f"{handoff['served_at']} {handoff['kind']} from {handoff['from_hostname']} to "
        f"{handoff['to_hostname']}: {away} ({parts}){held}"
        + (f"; {given_up} of them got a 503" if given_up else "")
    )


def _database_line(database: dict[str, Any]) -> str:
    if not database["ok"]:
        return f"does not answer: {database['error']}"
    return (
        f"Postgres {database['server_version']}, {mebibytes(database['size_bytes'])}, "
        f"{database['connections']} connections, "
        f"up since {database['started_at'].isoformat(timespec='seconds')}"
    )


def _migrations_line(migrations: dict[str, Any]) -> str:
    tracks = [migrations[name] for name in ("engine", "app", "client") if migrations[name]]
    pending = [name for track in tracks for name in track["pending"]]
    return (
        ", ".join(f"{track['name']} {track['applied']:04d}" for track in tracks)
        + f", {'pending: ' + ', '.join(pending) if pending else 'nothing pending'}"
    )


def _backup_lines(backup: dict[str, Any]) -> list[str]:
    last, failure, verification = (
        backup["last_backup"],
        backup["last_failure"],
        backup["last_proof"],
    )
    lines = [f"{_last_backup(last)}; {_last_verified(backup['last_verified'])}"]
    if failure:
        lines.append(f"the last attempt failed {_age(failure)}: {failure['message']}")
    if verification and not verification["ok"]:
        seen = f"{verification['name']} does not restore, seen {_age(verification)}"
        lines.append(f"{seen}: {verification['message']}")
    return lines


def _last_backup(last: dict[str, Any] | None) -> str:
    if last is None:
        return "none yet"
    return (
        f"{last['name']}, {_age(last)}, {size(last['size'])}, in {', '.join(last['destinations'])}"
    )


def _last_verified(verified: dict[str, Any] | None) -> str:
    if verified is None:
        return "none was verified"
    since = " (removed since)" if verified["removed"] else ""
    return f"verified by a restore: {verified['name']}{since}, {_age(verified)}"


def _age(entry: dict[str, Any]) -> str:
    seconds = entry["age_s"]
    units = ((172_800, 86_400, "day"), (7200, 3600, "hour"), (120, 60, "minute"))
    for least, unit, word in units:
        if seconds >= least:
            return f"{counted(seconds // unit, word)} ago"
    return f"{counted(seconds, 'second')} ago"
