"""pg_dump and pg_restore: their command lines, how far they are, checksums of what they write."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg

from appliance import settings
from appliance.backups.backup_errors import BackupError
from appliance.backups.server import checksums, databases
from appliance.backups.server.checksums import Checksums
from appliance.database import application_names
from appliance.database.connect import Connection
from appliance.postgres import binaries, config
from appliance.system.limits import ResourceLimits
from appliance.system.process import PIPE, RunningProcess
from appliance.system.progress import Progress

# Level 3 takes three times the processor, which requests need too, for a few percent.
COMPRESSION = "zstd:1"

# A migration that holds a table may end first; after that the backup fails and says so.
_LOCK_WAIT = "60s"
_MOST_JOBS = 4

UTF8 = "UTF8"

_PROGRESS = "SELECT relid, bytes_processed FROM pg_stat_progress_copy WHERE datname = %s"

Command = list[str | Path]


def prepare_environment() -> None:
    """Have these programs write values the same way wherever they run, and say who they are."""
    settings.set_variable("PGTZ", "UTC")
    settings.set_variable("PGOPTIONS", databases.SESSION_OPTIONS)
    settings.set_variable("PGAPPNAME", application_names.BACKUP)


def job_count(resources: ResourceLimits) -> int:
    """How many processes dump and load at once."""
    return min(resources.cpus, _MOST_JOBS)


def dump_command(
    socket_folder: Path, database: str, *options: str, encoding: str = UTF8
) -> Command:
    """pg_dump of one database; it writes to its output, or where the options say.

    `encoding` is the database's own; its clients may be set to another one.
    """
    fixed = [f"--compress={COMPRESSION}", f"--lock-wait-timeout={_LOCK_WAIT}"]
    fixed.append(f"--encoding={encoding}")
    return [
        *_client("pg_dump", socket_folder),
        "--dbname",
        _connection_string(database),
        *fixed,
        *options,
    ]


def dump_roles_command(socket_folder: Path) -> Command:
    """pg_dumpall of the roles."""
    return [*_client("pg_dumpall", socket_folder), "--roles-only", f"--encoding={UTF8}"]


def restore_command(socket_folder: Path, database: str, *options: str | Path) -> Command:
    """pg_restore into a database, from its input or from the archive that the options name."""
    # Here there may be no such tablespaces.
    into = ["--dbname", _connection_string(database), "--exit-on-error", "--no-tablespaces"]
    return [*_client("pg_restore", socket_folder), *into, *options]


def psql_command(socket_folder: Path, database: str) -> Command:
    """psql that runs the script on its input, to its first error."""
    into = ["--dbname", _connection_string(database), "--no-psqlrc", "--quiet", "--file=-"]
    return [*_client("psql", socket_folder), *into, "--set=ON_ERROR_STOP=1"]


def read_command(*archive: Path) -> Command:
    """pg_restore that writes an archive's data as a script; the archive is its input or a path."""
    return [binaries.program("pg_restore"), "--data-only", "--file=-", *archive]


def read_data_command() -> Command:
    """The same of its input, for a database that has all but the data: empty large objects too."""
    return [binaries.program("pg_restore"), "--section=data", "--file=-"]


def read_directory(archive: Path) -> Checksums:
    """Checksums of a directory archive. Reads all of it."""
    with RunningProcess(read_command(archive), output=PIPE) as reader:
        return _read(reader)


def read_database(
    socket_folder: Path, database: str, without: Sequence[str] = (), encoding: str = UTF8
) -> Checksums:
    """Checksums of a database as it is now; without some tables, by their names in SQL.

    Their sequences are in it.
    """
    script = ("--data-only", "--format=plain", "--compress=none")
    left_out = [f"--exclude-table-data={name}" for name in without]
    command = dump_command(socket_folder, database, *script, *left_out, encoding=encoding)
    with RunningProcess(command, output=PIPE) as reader:
        return _read(reader)


def dump_name(database: str) -> str:
    """A database's name as a file's: what no file can be called is written %XX.

    >>> dump_name("a/b"), dump_name("..")
    ('a%2Fb', '%2E.')
    """
    name = quote(database, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


class CopyProgress:
    """What COPY has done in one database, looked up from beside it."""

    def __init__(self, connection: Connection, database: str, progress: Progress) -> None:
        self._connection = connection
        self._database = database
        self._progress = progress
        self._bytes: dict[int, int] = {}

    def update(self) -> None:
        """Look once."""
        try:
            for table, size in self._connection.execute(_PROGRESS, (self._database,)):
                self._bytes[table] = size
        except psycopg.Error:
            # If the database is gone, whoever does the work says so.
            return
        self._progress.at(sum(self._bytes.values()), len(self._bytes))


def _read(reader: RunningProcess) -> Checksums:
    try:
        contents = checksums.read_script(reader.output)
    except EOFError as error:
        reader.finish()
        raise BackupError(f"A script of Postgres ends too early: {error}.") from error
    reader.finish()
    return contents


def _client(program: str, socket_folder: Path) -> Command:
    where = [f"--host={socket_folder}", f"--username={config.SUPERUSER}", "--no-password"]
    return [binaries.program(program), *where]


def _connection_string(database: str) -> str:
    # A bare name with an equals sign would be taken for a connection string.
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
