"""Databases as a whole: which there are, what describes one, how to make it anew."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from appliance.backups.backup_errors import BackupError, DamagedError
from appliance.database import application_names
from appliance.database.connect import Connection, connect_in, reason
from appliance.errors import DatabaseError
from appliance.postgres import config

# Whatever a database, a role or the server has been set to.
SESSION_OPTIONS = (
    "-c default_transaction_read_only=off -c bytea_output=hex -c idle_session_timeout=0 "
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
)
# Never in a backup, and there in every cluster.
MAINTENANCE = "template1"
# Temporary databases of a restore. One that is killed leaves them.
TEMPORARY_PREFIX = "appliance_restore_"

# Connections that failed, and a server that stops or starts.
_UNREACHABLE = frozenset({"08", "57"})

# A DROP DATABASE that was broken off leaves a limit of -2, and nothing that could be opened.
_LIST = """
    SELECT datname FROM pg_database
    WHERE datname NOT IN ('template0', 'template1') AND datconnlimit <> -2 ORDER BY datname
"""
_CLOSED = "SELECT datname FROM pg_database WHERE NOT datallowconn"
_IS_TEMPLATE = "SELECT datistemplate FROM pg_database WHERE datname = %s"
_TEMPORARY = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
_DESCRIBE = """
    SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datlocprovider::text,
        datcollate, datctype, daticulocale, datconnlimit, datacl IS NULL,
        shobj_description(oid, 'pg_database'), datistemplate
    FROM pg_database WHERE datname = %s
"""
_GRANTS = """
    SELECT CASE WHEN grantee = 0 THEN NULL ELSE pg_get_userbyid(grantee) END,
        privilege_type, is_grantable
    FROM pg_database, aclexplode(datacl) WHERE datname = %s ORDER BY 1, 2
"""
_SETTINGS = """
    SELECT CASE WHEN setrole = 0 THEN NULL ELSE pg_get_userbyid(setrole) END, entry
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(setconfig) entry
    WHERE datname = %s ORDER BY 1, 2
"""


def connect_to(socket_folder: Path, database: str) -> Connection:
    """A superuser's connection for the work on backups.

    Keep none to MAINTENANCE for long: nobody could make a database meanwhile.
    """
    options = f"{SESSION_OPTIONS} -c client_encoding=UTF8"
    return connect_in(
        socket_folder, config.SUPERUSER, database, application_names.BACKUP, options=options
    )


@contextmanager
def postgres_errors_explained() -> Iterator[None]:
    """Turn errors of Postgres into ours: refused, or unreachable."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is not None and error.sqlstate[:2] not in _UNREACHABLE:
            raise BackupError(
                f"Postgres refuses: {reason(error)}.", "Nothing was changed; see what it says."
            ) from error
        raise DatabaseError(
            f"The database could not be reached, or went away: {reason(error)}.",
            "Is the appliance running on this storage? See `appliance status`.",
        ) from error


def list_names(connection: Connection) -> list[str]:
    """Every database that holds something of somebody, those that are closed too."""
    found = [row[0] for row in connection.execute(_LIST)]
    return [name for name in found if not name.startswith(TEMPORARY_PREFIX)]


def list_closed(connection: Connection) -> set[str]:
    """Those that nobody may connect to."""
    return {row[0] for row in connection.execute(_CLOSED)}


def system_identifier(connection: Connection) -> str:
    """The number that initdb gave to the cluster."""
    row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    return row[0] if row else ""


def drop_temporary(connection: Connection) -> None:
    """Drop what a killed restore has left. Call it while holding the lock on backups."""
    for (name,) in connection.execute(_TEMPORARY, (TEMPORARY_PREFIX,)).fetchall():
        drop(connection, name)


def drop(connection: Connection, name: str) -> None:
    """Remove a database, whoever is connected to it."""
    database = sql.Identifier(name)
    if connection.execute(_IS_TEMPLATE, (name,)).fetchone() == (True,):
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(database))
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))


def write_log(connection: Connection, text: str) -> None:
    """Have Postgres write a line to its log, which is the container's."""
    body = sql.SQL("BEGIN RAISE LOG '%', {}; END").format(sql.Literal(text))
    command = sql.SQL("DO {}").format(sql.Literal(body.as_string(connection)))
    connection.execute(command)


def describe(connection: Connection, name: str) -> dict[str, Any]:
    """What CREATE DATABASE needs to be told, and what comes after it; plain JSON."""
    row = connection.execute(_DESCRIBE, (name,)).fetchone()
    if row is None:
        raise LookupError(name)
    keys = ("owner", "encoding", "provider", "collate", "ctype", "icu_locale", "limit")
    return {
        **dict(zip(keys, row[:7], strict=True)),
        "default_grants": row[7],
        "comment": row[8],
        "template": row[9],
        "grants": [list(entry) for entry in connection.execute(_GRANTS, (name,))],
        "settings": [list(entry) for entry in connection.execute(_SETTINGS, (name,))],
    }


def size_bytes(connection: Connection, name: str) -> int:
    """What a database takes on disk."""
    row = connection.execute("SELECT pg_database_size(%s)", (name,)).fetchone()
    return int(row[0]) if row else 0


def create(connection: Connection, name: str, properties: dict[str, Any]) -> None:
    """Make an empty database called `name` with the properties of another."""
    owner = sql.Identifier(properties["owner"])
    icu = properties["provider"] == "i"
    connection.execute(
        sql.SQL(
            "CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {} "
            "CONNECTION LIMIT {} LOCALE_PROVIDER {}{}"
        ).format(
            sql.Identifier(name),
            owner,
            sql.Literal(properties["encoding"]),
            sql.Literal(properties["collate"]),
            sql.Literal(properties["ctype"]),
            sql.Literal(properties["limit"]),
            sql.SQL("icu" if icu else "libc"),
            sql.SQL(" ICU_LOCALE {}").format(sql.Literal(properties["icu_locale"]))
            if icu
            else sql.SQL(""),
        )
    )
    if properties.get("comment") is not None:
        about, comment = sql.Identifier(name), sql.Literal(properties["comment"])
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(about, comment))
    if properties.get("template"):
        connection.execute(
            sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(sql.Identifier(name))
        )
    _grant(connection, name, properties)
    _configure(connection, name, properties["settings"])


def _grant(connection: Connection, name: str, properties: dict[str, Any]) -> None:
    if properties["default_grants"]:
        return
    database = sql.Identifier(name)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for grantee, privilege, grantable in properties["grants"]:
        connection.execute(
            sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                _privilege(privilege),
                database,
                sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
                sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            )
        )


def _privilege(name: str) -> sql.SQL:
    return {
        "CREATE": sql.SQL("CREATE"),
        "CONNECT": sql.SQL("CONNECT"),
        "TEMPORARY": sql.SQL("TEMPORARY"),
    }[name]


def _configure(connection: Connection, name: str, settings: list[list[Any]]) -> None:
    for role, entry in settings:
        variable, _, value = entry.partition("=")
        whom = sql.SQL("ALTER DATABASE {}").format(sql.Identifier(name))
        if role is not None:
            whom = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(
                sql.Identifier(role), sql.Identifier(name)
            )
        # A list that is quoted as a whole is another one.
        values = split_list(value) if variable in _LISTS else [value]
        written = sql.SQL(", ").join(sql.Literal(one) for one in values or [""])
        parts = (whom, sql.Identifier(*variable.split(".")), written)
        connection.execute(sql.SQL("{} SET {} TO {}").format(*parts))


def split_list(text: str) -> list[str]:
    """The elements of a list as pg_db_role_setting keeps it; raises DamagedError if it is none.

    >>> split_list('"$user", public')
    ['$user', 'public']
    """
    elements, at, more = [], 0, bool(text.strip())
    while more:
        match = _ELEMENT.match(text, at)
        if match is None:
            raise DamagedError(
                f"The backup has a setting that is no list: {text[:80]!r}.",
                "It was damaged or altered. Use another one.",
            )
        quoted, bare, comma = match.groups()
        elements.append(bare if quoted is None else quoted.replace('""', '"'))
        at, more = match.end(), bool(comma)
    return elements


_ELEMENT = re.compile(r"""\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:(,)|\Z)""")
_LISTS = frozenset(
    "local_preload_libraries search_path session_preload_libraries "
    "shared_preload_libraries temp_tablespaces unix_socket_directories".split()
)
