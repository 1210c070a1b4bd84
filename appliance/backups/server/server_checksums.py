"""Checksums of a running database, as `checksums` makes them of a dump.

Large tables come through a pipe each, all else as pg_dump writes it.

Into a pipe of the file system the server writes what it would send pg_dump row by row. That takes
half of the processor time, and counts the rows. But a server that is about to open a pipe waits for
ever if its reader was killed: it must be one that ends with us.
"""

import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from appliance.backups.backup_errors import BackupError
from appliance.backups.format.manifest import Table
from appliance.backups.server import databases, pg_tools
from appliance.backups.server.checksums import Checksums
from appliance.database.connect import Connection, reason
from appliance.system.files import give_to_owner_of

_LARGE_BYTES = 4 << 20
_BUFFER_BYTES = 1 << 18
_PIPE = ".reading-"
_LOOK_EVERY_S = 0.25
# Data that is corrupted, and what the system says against reading it.
_DAMAGE = frozenset({"XX", "58"})

# As pg_dump sets them (setup_connection in its source); PGTZ is in the environment.
_SESSION = """
    SET search_path = '';
    SET quote_all_identifiers = off;
    SET DateStyle = ISO;
    SET IntervalStyle = postgres;
    SET extra_float_digits = 3;
    SET synchronize_seqscans = off;
    SET row_security = off;
"""
# Of a table that an extension made, pg_dump may leave out rows. What is generated is in no dump.
# Rows of a hash partition may have come to lie in another one, which pg_dump knows. In another
# encoding a name may be written in another way.
_TABLES = """
    SELECT c.oid::regclass::text, coalesce((
        SELECT '(' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')'
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ), '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND pg_table_size(c.oid) >= %s
        AND NOT EXISTS (
            SELECT FROM pg_depend e
            WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'
        )
        AND NOT EXISTS (
            SELECT FROM pg_partition_ancestors(c.oid) a
                JOIN pg_partitioned_table p ON p.partrelid = a.relid AND p.partstrat = 'h'
        )
        AND current_setting('server_encoding') = 'UTF8'
    ORDER BY pg_table_size(c.oid)
"""


def read_database(
    server: Path, database: str, jobs: int, look: Callable[[], None] = lambda: None
) -> Checksums:
    """Read all of a database of a server of this process's own, `jobs` tables at once.

    `server` is the folder of its socket. Nobody may write to it meanwhile, nor read it in this way.
    `look` is called now and then. Raises ApplianceError, psycopg.Error.
    """
    with ExitStack() as stack:
        connections = [stack.enter_context(_session(server, database)) for _ in range(jobs)]
        large = _large(connections[0])
        names = [table.name for table in large]
        rest = pg_tools.read_database(server, database, names, encoding_of(connections[0]))
        large_tables = _read_together(connections, server, large, look)
    tables = sorted([*rest.tables, *large_tables], key=lambda table: table.name)
    return Checksums(tables, rest.others)


def read_tables(server: Path, database: str, tables: Iterable[Table]) -> list[Table]:
    """Read some tables with their columns in the given order, whatever it is in the database.

    It may be any server; row by row it takes its time. Raises psycopg.errors.UndefinedColumn if
    there is no such column.
    """
    with _session(server, database) as connection:
        return [_receive(connection, table) for table in tables]


def _receive(connection: Connection, table: Table) -> Table:
    digest, size = hashlib.sha256(), 0
    with connection.cursor() as cursor:
        with cursor.copy(_statement(connection, table.name, table.columns, "STDOUT")) as copy:
            for row in copy:
                digest.update(row)
                size += len(row)
        return Table(table.name, cursor.rowcount, size, digest.hexdigest(), table.columns)


@dataclass(frozen=True)
class _Large:
    """A table as SQL has its name, and the list of its columns in brackets, if it has any."""

    name: str
    columns: str


@contextmanager
def _session(server: Path, database: str) -> Iterator[Connection]:
    with closing(databases.connect_to(server, database)) as connection:
        connection.execute(_SESSION.encode())
        yield connection


def _large(connection: Connection) -> deque[_Large]:
    """Those that weigh enough, the largest at the end."""
    rows = connection.execute(_TABLES, (_LARGE_BYTES,))
    return deque(_Large(*row) for row in rows)


def _read_together(
    connections: list[Connection], folder: Path, waiting: deque[_Large], look: Callable[[], None]
) -> list[Table]:
    tables: list[Table] = []

    def work(connection: Connection) -> None:
        while (table := _next(waiting)) is not None:
            tables.append(_read(connection, folder, table))

    with ThreadPoolExecutor(len(connections)) as threads:
        pending = {threads.submit(work, one) for one in connections}
        try:
            while pending:
                done, pending = wait(pending, _LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
                look()
        except BaseException:
            waiting.clear()
            # One that is just about to begin hears of the next one only.
            while pending:
                for connection in connections:
                    with suppress(psycopg.Error):
                        connection.cancel_safe()
                pending = wait(pending, _LOOK_EVERY_S).not_done
            raise
    return tables


def _next(waiting: deque[_Large]) -> _Large | None:
    with suppress(IndexError):
        return waiting.pop()
    return None


def _read(connection: Connection, folder: Path, table: _Large) -> Table:
    digest, size, buffer = hashlib.sha256(), 0, bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    with _pipe(folder) as (path, reader, writer), ThreadPoolExecutor(1) as thread:
        copied = thread.submit(_copy, connection, table, path, writer)
        while count := os.readv(reader, [buffer]):
            digest.update(view[:count])
            size += count
        return Table(table.name, copied.result(), size, digest.hexdigest(), table.columns)


@contextmanager
def _pipe(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """A pipe that the server can write to: its path, its end to read, and one to write.

    It has no end as long as the latter is open.
    """
    path = folder / f"{_PIPE}{secrets.token_hex(8)}"
    os.mkfifo(path, 0o600)
    try:
        # To be opened, an end waits for the other one.
        with open(path, "rb", buffering=0, opener=_without_waiting) as reader:
            give_to_owner_of(folder, reader.fileno())
            writer = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.set_blocking(reader.fileno(), True)
            yield path, reader.fileno(), writer
    finally:
        path.unlink()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _copy(connection: Connection, table: _Large, path: Path, writer: int) -> int:
    """Have the server write a table into the pipe; returns how many rows it has."""
    try:
        target = sql.Literal(str(path)).as_string(connection)
        statement = _statement(connection, table.name, table.columns, target)
        return connection.execute(statement).rowcount
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _DAMAGE:
            raise
        raise BackupError(
            f"The table {table.name} cannot be read: {reason(error)}.",
            "Its files are damaged, or the disk is. Use an earlier backup.",
        ) from error
    finally:
        os.close(writer)


def _statement(connection: Connection, table: str, columns: str, target: str) -> bytes:
    return f"COPY {table} {columns} TO {target} (ENCODING '{encoding_of(connection)}')".encode()


def encoding_of(connection: Connection) -> str:
    """The encoding of the database that it is a connection to."""
    return connection.info.parameter_status("server_encoding") or pg_tools.UTF8
