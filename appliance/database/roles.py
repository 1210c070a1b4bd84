"""The roles and the database that every cluster must have. Safe to run again at any time."""

from psycopg import sql

from appliance.database.connect import Connection
from appliance.postgres import config

# Two containers that start together do this one after the other.
_ADVISORY_LOCK = 0x4150_504C_0002


def ensure(connection: Connection) -> None:
    """Make what is missing. `connection`: the superuser's, in autocommit mode.

    `appliance` owns the database and its schema and runs the migrations; `app` is the API's:
    it may read and write data, but change no schema. Neither is a superuser.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
    for role in (config.OWNER_ROLE, config.API_ROLE):
        if not _exists(connection, "pg_roles", "rolname", role):
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE").format(
                    sql.Identifier(role)
                )
            )
    database, owner = sql.Identifier(config.DATABASE), sql.Identifier(config.OWNER_ROLE)
    if not _exists(connection, "pg_database", "datname", config.DATABASE):
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
    # Without this, "$user" would send the owner's tables to the schema of the same name.
    connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = public").format(database))
    # What fails for the API, it reports itself; without this every handoff would write a line for
    # each of its connections.
    connection.execute(
        sql.SQL("ALTER ROLE {} SET log_min_messages = panic").format(
            sql.Identifier(config.API_ROLE)
        )
    )
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(
        sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(
            database, sql.Identifier(config.API_ROLE)
        )
    )
    connection.execute("SELECT pg_advisory_unlock(%s)", (_ADVISORY_LOCK,))


def _exists(connection: Connection, catalog: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s").format(
        sql.Identifier(catalog), sql.Identifier(column)
    )
    return connection.execute(query, (name,)).fetchone() is not None
