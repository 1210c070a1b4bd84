"""Connections to the Postgres behind the storage's socket, whichever container runs it."""

from pathlib import Path

import psycopg

from appliance.database import application_names, pipeline
from appliance.errors import DatabaseError
from appliance.postgres import config
from appliance.storage.paths import Storage

Connection = pipeline.Connection

# The server says these when it stops, has crashed, or is not up yet: try again on a new connection.
AWAY_STATES = frozenset({"57P01", "57P02", "57P03"})
RECONNECT_INTERVAL_S = 0.005


def connect(
    storage: Storage,
    role: str,
    *,
    database: str = config.DATABASE,
    program: str = application_names.COMMAND,
    statement_timeout_s: float = 0,
) -> Connection:
    """Open one connection in autocommit mode; raises psycopg.OperationalError at once if it fails.

    `statement_timeout_s` of 0 means no limit.
    """
    return connect_in(storage.run, role, database, program, statement_timeout_s)


def connect_in(
    socket_folder: Path,
    role: str,
    database: str,
    program: str,
    statement_timeout_s: float = 0,
    options: str = "",
) -> Connection:
    """Like `connect`, to whatever Postgres has its socket in this folder.

    `options` are more of them, as `-c name=value`.
    """
    return Connection.connect(
        host=str(socket_folder),
        user=role,
        dbname=database,
        application_name=program,
        options=f"-c statement_timeout={round(statement_timeout_s * 1000)} {options}",
        connect_timeout=5,
        autocommit=True,
    )


def unreachable(storage: Storage, error: psycopg.Error) -> DatabaseError:
    """Say in words that the database cannot be reached, and what to look at."""
    return DatabaseError(
        f"The database at {storage.socket} cannot be reached: {reason(error)}.",
        "Is the appliance running on this storage, and is this user root or the one it runs as? "
        "See `appliance doctor`.",
    )


def reason(error: psycopg.Error) -> str:
    """The end of the error's first line: what is wrong, without where and what else to try.

    >>> reason(psycopg.OperationalError('to socket "/x" failed: No such file\\n\\tIs it?'))
    'No such file'
    """
    first = (str(error).strip() or "no answer").splitlines()[0]
    return first.rpartition(" failed: ")[2].removeprefix("FATAL:").strip()


def is_away(error: psycopg.Error, connection: Connection) -> bool:
    """Whether the error means that the connection, and not the statement, has failed."""
    if connection.closed or connection.broken:
        return True
    if error.sqlstate is None:
        # Not from the server, so from libpq; a failed write leaves the connection looking well.
        return type(error) in {psycopg.DatabaseError, psycopg.OperationalError}
    return error.sqlstate in AWAY_STATES or error.sqlstate.startswith("08")
