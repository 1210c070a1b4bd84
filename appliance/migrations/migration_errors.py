"""The words for what can go wrong with a migration."""

import psycopg

from appliance.errors import DatabaseError, SchemaError
from appliance.migrations.tracks import NO_TRANSACTION, Migration, Track

_NOT_IN_A_TRANSACTION = "25001"


def of_statement(track: Track, migration: Migration, error: psycopg.Error) -> SchemaError:
    """Postgres refused a statement."""
    if error.sqlstate == _NOT_IN_A_TRANSACTION and migration.transactional:
        hint = f"Nothing of it was kept. Make this the first line of the file: {NO_TRANSACTION}"
    elif migration.transactional:
        hint = "Nothing of this file was kept. Mend it and start again."
    else:
        hint = "It runs outside a transaction: see what it left, mend it and start again."
    return SchemaError(f"The {_name(track, migration)} failed{_reason(migration, error)}", hint)


def of_lock(track: Track, migration: Migration) -> SchemaError:
    """A lock was not to be had in time."""
    return SchemaError(
        f"The {_name(track, migration)} failed: other transactions kept a table locked that it "
        "needs, until its time was up. "
        + ("Nothing of it was kept." if migration.transactional else "See what it left."),
        "Find the oldest transaction in pg_stat_activity with `appliance psql` and end it, or "
        "raise MIGRATION_TIMEOUT.",
    )


def of_connection(track: Track, migration: Migration) -> DatabaseError:
    """The database went away in the middle."""
    return DatabaseError(
        f"The database went away during the {_name(track, migration)}.",
        "Start again: it is applied whole and in the ledger, or nothing of it was kept."
        if migration.transactional
        else "See what it left, then start again: it is run anew if it is not in the ledger.",
    )


def of_transaction(track: Track, migration: Migration) -> SchemaError:
    """The file ended the transaction that it runs in."""
    return SchemaError(
        f"The {_name(track, migration)} ended its own transaction. What it did before is kept, "
        "but it is not in the ledger.",
        "Undo what it did, remove its COMMIT or ROLLBACK, and start again.",
    )


def of_ledger(error: psycopg.Error) -> SchemaError:
    """Postgres refused something around the files themselves."""
    return SchemaError(
        f"The ledger of the migrations cannot be used: {_primary(error)}.",
        "Does the schema `appliance` belong to the role appliance? See `appliance psql -c '\\dn'`.",
    )


def _name(track: Track, migration: Migration) -> str:
    return f"{track.name} migration {migration.name}"


def _reason(migration: Migration, error: psycopg.Error) -> str:
    # Not Postgres' DETAIL: it may show what people entered, and this goes to the log.
    position = error.diag.statement_position
    line = ""
    if position and migration.transactional:
        line = f" on line {migration.sql.count(chr(10), 0, int(position) - 1) + 1}"
    advice = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
    return f"{line}: {_primary(error)}{advice}"


def _primary(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip() or type(error).__name__
