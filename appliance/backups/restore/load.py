"""Loading a backup into a running Postgres, and comparing what is there then with the manifest."""

import io
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import psycopg

from appliance.apps.contract import App
from appliance.backups.backup_errors import BackupError, DamagedError
from appliance.backups.format.encryption import Decryptor
from appliance.backups.format.manifest import DatabaseDump, Manifest, Table
from appliance.backups.server import checksums, databases, pg_tools, server_checksums
from appliance.backups.server.pg_tools import CopyProgress
from appliance.database.connect import Connection
from appliance.errors import ApplianceError
from appliance.system.process import PIPE, RunningProcess
from appliance.system.progress import Progress
from appliance.system.text import extent

_LOOK_EVERY_S = 0.25
_NEW_ROLE = re.compile(rb'CREATE ROLE (?:"((?:[^"]|"")+)"|([^";]+));\n')


@dataclass(frozen=True)
class Source:
    """A backup in a folder; `decryptor` decrypts its files, None if they are not encrypted."""

    manifest: Manifest
    folder: Path
    decryptor: Decryptor | None


class Loader:
    """Loads a backup into the Postgres with its socket in `socket_folder`.

    `private` says that this server ends with this process.
    """

    def __init__(
        self, socket_folder: Path, source: Source, *, private: bool, jobs: int, progress: Progress
    ) -> None:
        self._server = socket_folder
        self._source = source
        self._private = private
        self._jobs = jobs
        self._progress = progress

    def roles(self) -> None:
        """Make the roles that are missing, and give every role what it had."""
        with closing(databases.connect_to(self._server, databases.MAINTENANCE)) as connection:
            existing = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        script = _without_existing_roles(self._read(self._source.manifest.roles), existing)
        with RunningProcess(
            pg_tools.psql_command(self._server, databases.MAINTENANCE), input=PIPE
        ) as psql:
            psql.input.write(script)
            psql.input.close()
            psql.finish()

    def database(self, dump: DatabaseDump, name: str) -> None:
        """Make a database called `name` out of a dump; raises BackupError if it cannot."""
        with closing(databases.connect_to(self._server, databases.MAINTENANCE)) as connection:
            databases.create(connection, name, dump.properties)
        with closing(databases.connect_to(self._server, name)) as connection:
            copy_progress = CopyProgress(connection, name, self._progress)
            try:
                self._restore(dump, name, copy_progress)
            except ApplianceError as error:
                raise BackupError(
                    f"The database {dump.name} of the backup {self._source.manifest.name} cannot "
                    f"be loaded: {error}"
                ) from error
        self._progress.part_ends(sum(table.bytes for table in dump.tables))

    def compare(self, dump: DatabaseDump, name: str) -> None:
        """Compare every table's rows and checksum with the manifest; raises DamagedError."""
        with closing(databases.connect_to(self._server, name)) as connection:
            copy_progress = CopyProgress(connection, name, self._progress)
            if self._private:
                contents = server_checksums.read_database(
                    self._server, name, self._jobs, copy_progress.update
                )
            else:
                encoding = server_checksums.encoding_of(connection)
                contents = pg_tools.read_database(self._server, name, encoding=encoding)
        expected = {table.name: table for table in dump.tables}
        loaded = {table.name: table for table in contents.tables}
        loaded |= self._in_order(name, expected, loaded)
        different = sorted(
            table
            for table in expected.keys() | loaded.keys()
            if expected.get(table) != loaded.get(table)
        )
        if contents.others_hex != dump.others:
            different.append("sequences or large objects")
        if different:
            raise DamagedError(
                f"The database {dump.name} of the backup {self._source.manifest.name} differs from "
                f"its manifest after loading: {', '.join(different[:5])}.",
                "The backup was damaged or altered. Use another one.",
            )
        self._progress.part_ends(sum(table.bytes for table in dump.tables))

    def _in_order(
        self, name: str, expected: dict[str, Table], loaded: dict[str, Table]
    ) -> dict[str, Table]:
        """Tables that were dumped with their columns in another order: a child's, for example."""
        others = [
            table
            for table in expected.values()
            if table.columns
            and table.name in loaded
            and loaded[table.name].columns != table.columns
        ]
        with suppress(psycopg.errors.UndefinedColumn):
            return {
                one.name: one for one in server_checksums.read_tables(self._server, name, others)
            }
        return {}

    def _restore(self, dump: DatabaseDump, name: str, copy_progress: CopyProgress) -> None:
        archive = self._source.folder / dump.dump
        if self._source.decryptor is None:
            # With several processes pg_restore truncates each table first, which keeps the order.
            options = (f"--jobs={max(2, self._jobs)}", archive)
            with RunningProcess(pg_tools.restore_command(self._server, name, *options)) as restore:
                while not restore.ended_within(_LOOK_EVERY_S):
                    copy_progress.update()
                restore.finish()
        else:
            self._restore_section(archive, name, "pre-data")
            self._restore_data(archive, name, copy_progress)
            self._restore_section(archive, name, "post-data")

    def _restore_section(self, archive: Path, name: str, section: str) -> None:
        command = pg_tools.restore_command(self._server, name, f"--section={section}")
        with (
            ThreadPoolExecutor(1) as threads,
            archive.open("rb") as encrypted,
            RunningProcess(command, input=PIPE) as restore,
        ):
            decrypted = threads.submit(self._decrypt, encrypted, restore.input)
            restore.finish()
            # It needs no data, and may be done before the end of the archive.
            with suppress(BrokenPipeError):
                decrypted.result()

    def _restore_data(self, archive: Path, name: str, copy_progress: CopyProgress) -> None:
        with (
            ThreadPoolExecutor(2) as threads,
            archive.open("rb") as encrypted,
            RunningProcess(pg_tools.read_data_command(), input=PIPE, output=PIPE) as reader,
            RunningProcess(pg_tools.psql_command(self._server, name), input=PIPE) as psql,
        ):
            work = [
                threads.submit(self._decrypt, encrypted, reader.input),
                threads.submit(_send_in_order, reader.output, psql.input),
            ]
            while not psql.ended_within(_LOOK_EVERY_S):
                copy_progress.update()
            psql.finish()
            for one in work:
                one.result()
            reader.finish()

    def _decrypt(self, encrypted: BinaryIO, target: IO[bytes]) -> None:
        decryptor = cast("Decryptor", self._source.decryptor)
        try:
            decryptor.decrypt(encrypted, cast("BinaryIO", target))
        finally:
            # Whoever reads it must not wait for what will not come.
            with suppress(BrokenPipeError):
                target.close()

    def _read(self, path: str) -> bytes:
        with (self._source.folder / path).open("rb") as file:
            if self._source.decryptor is None:
                return file.read()
            text = io.BytesIO()
            self._source.decryptor.decrypt(file, text)
        return text.getvalue()


def _send_in_order(script: IO[bytes], psql: IO[bytes]) -> None:
    try:
        for part in checksums.in_row_order(script):
            psql.write(part)
    finally:
        with suppress(BrokenPipeError):
            psql.close()


def check_app(connection: Connection, app: App) -> None:
    """The app's own check of its data; raises DamagedError."""
    fault = app.check(connection)
    if fault is not None:
        raise DamagedError(fault, "Use another backup, and look at what wrote this data.")


def select_databases(manifest: Manifest, only: str | None) -> list[DatabaseDump]:
    """The databases of a backup, or one of them; raises BackupError if it is not in it."""
    dumps = [dump for dump in manifest.databases if only in (None, dump.name)]
    if not dumps:
        existing = ", ".join(dump.name for dump in manifest.databases)
        raise BackupError(
            f"The backup {manifest.name} has no database {only}; it has {existing}.",
            "Name one of these with RESTORE_DB, or unset it.",
        )
    return dumps


def summary(dumps: Sequence[DatabaseDump]) -> str:
    """Which databases these are, and how much is in them."""
    tables = [table for dump in dumps for table in dump.tables]
    names = ", ".join(dump.name for dump in dumps)
    return f"{names}: {extent(len(tables), sum(table.rows for table in tables))}"


def _without_existing_roles(script: bytes, existing: Iterable[str]) -> bytes:
    known = set(existing)

    def keep(match: re.Match[bytes]) -> bytes:
        name = match[1].replace(b'""', b'"') if match[1] else match[2]
        return b"" if name.decode() in known else match[0]

    return _NEW_ROLE.sub(keep, script)
