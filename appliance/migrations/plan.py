"""What is to be done, read from ledgers and files before anything is changed."""

from collections.abc import Collection
from dataclasses import dataclass

from appliance.database.connect import Connection
from appliance.errors import SchemaError
from appliance.migrations import ledger, statements
from appliance.migrations.tracks import Migration, Track

# Tables and views that are nobody's: neither a ledger's, nor the system's, nor an extension's.
_OBJECTS = r"""
    SELECT n.nspname || '.' || c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname <> 'information_schema'
      AND n.nspname NOT LIKE 'pg\_%' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.deptype = 'e')
    ORDER BY 1 LIMIT 3
"""


@dataclass(frozen=True)
class Plan:
    """The files of one track that are pending, and whether they are adopted instead of run."""

    track: Track
    pending: tuple[Migration, ...]
    adopts: bool


def plan(
    connection: Connection, tracks: tuple[Track, ...], adopt: Collection[str]
) -> tuple[Plan, ...]:
    """Decide what to do; raises SchemaError if files, ledgers and database do not fit together."""
    _check_adopted(tracks, adopt)
    if not any(ledger.exists(connection, track) for track in tracks):
        _check_untouched(connection, tracks, adopt)
    plans = tuple(_plan(connection, track, track.name in adopt) for track in tracks)
    for item in plans:
        for migration in () if item.adopts else item.pending:
            _check_statements(item.track, migration)
    return plans


def _plan(connection: Connection, track: Track, adopts: bool) -> Plan:
    entries = ledger.read(connection, track)
    if adopts and entries:
        raise SchemaError(
            f"The {track.name} ledger holds {len(entries)} migrations already; there is nothing "
            "to adopt.",
            "Run `appliance migrate` without --adopt.",
        )
    return Plan(track, ledger.pending(track, entries), adopts)


def _check_adopted(tracks: tuple[Track, ...], adopt: Collection[str]) -> None:
    names = [track.name for track in tracks]
    for name in adopt:
        if name not in names:
            raise SchemaError(
                f"There is no {name} track here to adopt; there are {', '.join(names)}.",
                "Set APP to the app that made the tables.",
            )


def _check_untouched(
    connection: Connection, tracks: tuple[Track, ...], adopt: Collection[str]
) -> None:
    """Only a database that no track has touched can hold objects of unknown origin."""
    found = ", ".join(row[0] for row in connection.execute(_OBJECTS))
    if adopt and not found:
        raise SchemaError(
            "The database is empty; there is nothing to adopt.",
            "Run `appliance migrate` without --adopt.",
        )
    names = [track.name for track in tracks if track.migrations]
    if found and not set(names) <= set(adopt):
        raise SchemaError(
            f"The database holds objects ({found}) but no ledger, so it is not known which of the "
            f"{' and '.join(names)} migrations made them. Nothing was changed.",
            "If these files made all of it, start with SKIP_SCHEMA_CHECK=true and adopt it: "
            "appliance migrate " + " ".join(f"--adopt {name}" for name in names),
        )


def _check_statements(track: Track, migration: Migration) -> None:
    for statement in statements.split(migration.sql):
        command = statement.transaction_command
        if command is not None:
            raise SchemaError(
                f"The {track.name} migration {migration.name} has {command} on line "
                f"{statement.line}; a migration must not begin or end a transaction. "
                "Nothing was run.",
                "Each file is one transaction already: remove the command, or make two files.",
            )
