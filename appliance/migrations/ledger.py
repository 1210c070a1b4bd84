"""The ledger of applied migrations, one table for each track in the schema `appliance`."""

from dataclasses import dataclass

from psycopg import sql

from appliance.database.connect import Connection
from appliance.errors import SchemaError
from appliance.migrations.tracks import Migration, Track

_ENGINE = Track("engine", ())
_LEDGERS = r"""
    SELECT regexp_replace(relname, '_ledger$', '') FROM pg_class
    WHERE relnamespace = 'appliance'::regnamespace AND relkind = 'r' AND relname LIKE '%\_ledger'
    ORDER BY 1
"""


@dataclass(frozen=True)
class AppliedMigration:
    """One applied migration as the database remembers it."""

    number: int
    name: str
    checksum: str


def exists(connection: Connection, track: Track) -> bool:
    """Whether the track's ledger is there."""
    row = connection.execute("SELECT to_regclass(%s)", (f"appliance.{track.name}_ledger",))
    found = row.fetchone()
    return bool(found and found[0])


def create(connection: Connection, track: Track) -> None:
    """Make the schema and the ledger if they are missing."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS appliance")
    connection.execute(
        sql.SQL(
            """
            CREATE TABLE IF NOT EXISTS {} (
                number integer PRIMARY KEY,
                name text NOT NULL,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                duration_ms integer NOT NULL,
                version text NOT NULL
            )
            """
        ).format(_table(track))
    )
    connection.execute("GRANT USAGE ON SCHEMA appliance TO app")
    connection.execute(sql.SQL("GRANT SELECT ON {} TO app").format(_table(track)))


def read(connection: Connection, track: Track) -> tuple[AppliedMigration, ...]:
    """Every applied migration of the track, in order.

    Where there is no ledger, that is what an older version has applied as the engine's.
    """
    if not exists(connection, track):
        return _from_the_engine(connection, track)
    rows = connection.execute(
        sql.SQL("SELECT number, name, checksum FROM {} ORDER BY number").format(_table(track))
    )
    return tuple(AppliedMigration(*row) for row in rows)


def newest(connection: Connection) -> dict[str, int]:
    """The last number applied, by the name of the track, for every ledger that there is."""
    rows = connection.execute(_LEDGERS).fetchall()
    entries = {name: read(connection, Track(name, ())) for (name,) in rows}
    return {name: max((e.number for e in found), default=0) for name, found in entries.items()}


def record(
    connection: Connection, track: Track, migration: Migration, duration_ms: int, version: str
) -> None:
    """Write down that a migration was applied, in the caller's transaction."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (number, name, checksum, duration_ms, version) "
            "VALUES (%s, %s, %s, %s, %s)"
        ).format(_table(track)),
        (migration.number, migration.name, migration.checksum, duration_ms, version),
    )


def pending(track: Track, entries: tuple[AppliedMigration, ...]) -> tuple[Migration, ...]:
    """The migrations still to run; raises SchemaError if ledger and files contradict each other.

    Entries beyond the last file are fine: the database is ahead of this version.
    """
    applied = {entry.number: entry for entry in entries}
    for expected, entry in enumerate(entries, start=1):
        if entry.number != expected:
            raise SchemaError(
                f"The {track.name} ledger lacks number {expected:04d} before {entry.name}.",
                "Somebody edited the ledger; restore from a backup or put the row back.",
            )
    for migration in track.migrations:
        entry_or_none = applied.get(migration.number)
        if entry_or_none is not None and entry_or_none.checksum != migration.checksum:
            renamed = entry_or_none.name != migration.name
            under = f" as {entry_or_none.name}" if renamed else ""
            raise SchemaError(
                f"The {track.name} migration {migration.name} was edited after it was applied"
                f"{under}.",
                "Put the old content back and make the change in a new file.",
            )
    return tuple(m for m in track.migrations if m.number not in applied)


def _from_the_engine(connection: Connection, track: Track) -> tuple[AppliedMigration, ...]:
    if track.formerly is None:
        return ()
    if track.formerly not in (entry.name for entry in read(connection, _ENGINE)):
        return ()
    first = track.migrations[0]
    return (AppliedMigration(first.number, first.name, first.checksum),)


def _table(track: Track) -> sql.Identifier:
    return sql.Identifier("appliance", f"{track.name}_ledger")
