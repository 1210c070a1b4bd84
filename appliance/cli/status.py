"""What is going on: who owns the database, is the schema in sync, how big is it."""

from dataclasses import asdict
from typing import Any

import click
import psycopg

from appliance import __version__
from appliance.cli import context
from appliance.cli.main import print_json
from appliance.errors import ExitCode
from appliance.migrations import guard
from appliance.migrations.guard import SchemaState
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config, ownership
from appliance.postgres.connect import Connection, connect, reason
from appliance.settings import Settings
from appliance.storage import Storage, mebibytes


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
    owner = ownership.read_owner(storage)
    return {
        "version": __version__,
        "storage": {"path": str(storage.root), "free_bytes": _free(storage)},
        "owner": {**asdict(owner), "running": ownership.is_owned(storage)} if owner else None,
        "database": _database(settings, storage),
    }


def _database(settings: Settings, storage: Storage) -> dict[str, Any]:
    tracks = load_tracks(settings.client_migrations_dir)
    try:
        with connect(storage, config.OWNER_ROLE, program="appliance status") as connection:
            return {
                "ok": True,
                **_facts(connection),
                "migrations": _migrations(guard.read_schema_state(connection, tracks)),
            }
    except psycopg.Error as error:
        return {"ok": False, "error": reason(error)}


def _facts(connection: Connection) -> dict[str, Any]:
    row = connection.execute(
        "SELECT current_setting('server_version'), pg_database_size(current_database()), "
        "pg_postmaster_start_time(), (SELECT count(*) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend')"
    ).fetchone()
    names = ("server_version", "size_bytes", "started_at", "connections")
    return dict(zip(names, row or (), strict=True))


def _migrations(state: SchemaState) -> dict[str, Any]:
    return {
        "in_sync": state.in_sync,
        "engine": asdict(state.engine),
        "client": asdict(state.client),
    }


def _free(storage: Storage) -> int | None:
    return storage.free_bytes() if storage.root.exists() else None


def _print(report: dict[str, Any]) -> None:
    free = report["storage"]["free_bytes"]
    room = f", {mebibytes(free)} free" if free is not None else ", which does not exist"
    lines = [
        ("appliance", report["version"]),
        ("storage", f"{report['storage']['path']}{room}"),
        ("owner", _owner_line(report["owner"])),
        ("database", _database_line(report["database"])),
    ]
    if report["database"]["ok"]:
        lines.append(("migrations", _migrations_line(report["database"]["migrations"])))
    for name, text in lines:
        click.echo(f"{name:11} {text}")


def _owner_line(owner: dict[str, Any] | None) -> str:
    if owner is None:
        return "none yet"
    who = f"{owner['hostname']} ({owner['instance']}), version {owner['version']}"
    return f"{who}, since {owner['since']}" if owner["running"] else f"none now; last was {who}"


def _database_line(database: dict[str, Any]) -> str:
    if not database["ok"]:
        return f"does not answer: {database['error']}"
    return (
        f"Postgres {database['server_version']}, {mebibytes(database['size_bytes'])}, "
        f"{database['connections']} connections, "
        f"up since {database['started_at'].isoformat(timespec='seconds')}"
    )


def _migrations_line(migrations: dict[str, Any]) -> str:
    tracks = [migrations[name] for name in ("engine", "client")]
    pending = [name for track in tracks for name in track["pending"]]
    return (
        ", ".join(f"{track['name']} {track['applied']:04d}" for track in tracks)
        + f", {'pending: ' + ', '.join(pending) if pending else 'nothing pending'}"
    )
