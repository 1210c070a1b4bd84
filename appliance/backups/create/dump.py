"""Dumping: every database at one moment each, and the roles, into a folder of one's own.

Not encrypted, a database is a directory that several processes of pg_dump write. Encrypted, it
is one stream that passes from pg_dump to the disk, in the clear nowhere.
"""

import io
from collections.abc import Iterable, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from appliance.backups.backup_errors import BackupError
from appliance.backups.format.encryption import Encryptor
from appliance.backups.format.manifest import DatabaseDump
from appliance.backups.server import checksums, databases, pg_tools
from appliance.backups.server.checksums import Checksums
from appliance.backups.server.pg_tools import CopyProgress
from appliance.postgres import disk_space
from appliance.system.process import PIPE, RunningProcess, run
from appliance.system.progress import Progress

ROLES_FILE = "roles.sql"
DATABASES_FOLDER = "databases"
ENCRYPTED_SUFFIX = ".age"

_LOOK_EVERY_S = 0.25


class Dumper:
    """Dumps what the Postgres with its socket in `socket_folder` holds, into `folder`."""

    def __init__(
        self,
        socket_folder: Path,
        folder: Path,
        encryptor: Encryptor | None,
        *,
        jobs: int,
        progress: Progress,
    ) -> None:
        self._server = socket_folder
        self._folder = folder
        self._encryptor = encryptor
        self._jobs = jobs
        self._progress = progress

    def roles(self) -> str:
        """Dump the roles; returns the file's path below the backup's folder."""
        script = run(pg_tools.dump_roles_command(self._server)).stdout.encode()
        name = ROLES_FILE if self._encryptor is None else ROLES_FILE + ENCRYPTED_SUFFIX
        with (self._folder / name).open("xb") as file:
            self._write(io.BytesIO(script), file)
        return name

    def databases(self) -> tuple[DatabaseDump, ...]:
        """Dump every database, one after the other."""
        (self._folder / DATABASES_FOLDER).mkdir()
        with closing(databases.connect_to(self._server, databases.MAINTENANCE)) as connection:
            names = databases.list_names(connection)
            _refuse_closed(databases.list_closed(connection).intersection(names))
            sizes = {name: databases.size_bytes(connection, name) for name in names}
            # In their own encodings, names and comments might be others.
            properties = {name: databases.describe(connection, name) for name in names}
        self._progress.begin("dumping", sum(sizes.values()))
        return tuple(self._database(name, sizes[name], properties[name]) for name in names)

    def _database(self, name: str, size_bytes: int, properties: dict[str, Any]) -> DatabaseDump:
        path = f"{DATABASES_FOLDER}/{pg_tools.dump_name(name)}"
        with closing(databases.connect_to(self._server, name)) as connection:
            copy_progress = CopyProgress(connection, name, self._progress)
            if self._encryptor is None:
                contents = self._directory(name, path, properties["encoding"], copy_progress)
            else:
                path += ENCRYPTED_SUFFIX
                contents = self._stream(name, path, properties["encoding"], copy_progress)
        self._progress.part_ends(size_bytes)
        tables = tuple(contents.tables)
        return DatabaseDump(name, path, size_bytes, properties, tables, contents.others_hex)

    def _directory(
        self, name: str, path: str, encoding: str, copy_progress: CopyProgress
    ) -> Checksums:
        target = self._folder / path
        options = ("--format=directory", f"--jobs={self._jobs}", f"--file={target}")
        command = pg_tools.dump_command(self._server, name, *options, encoding=encoding)
        with RunningProcess(command) as dump:
            while not dump.ended_within(_LOOK_EVERY_S):
                self._update(copy_progress)
            dump.finish()
        return pg_tools.read_directory(target)

    def _stream(
        self, name: str, path: str, encoding: str, copy_progress: CopyProgress
    ) -> Checksums:
        command = pg_tools.dump_command(self._server, name, "--format=custom", encoding=encoding)
        with (
            ThreadPoolExecutor(2) as threads,
            (self._folder / path).open("xb") as file,
            RunningProcess(command, output=PIPE) as dump,
            RunningProcess(pg_tools.read_command(), input=PIPE, output=PIPE) as reader,
        ):
            contents = threads.submit(checksums.read_script, reader.output)
            written = threads.submit(self._write_and_read, dump.output, reader.input, file)
            try:
                self._await([contents, written], copy_progress)
            except (OSError, EOFError):
                # A pipe broke: the reason is what the program at its end said.
                if dump.ended_within(1.0):
                    dump.finish()
                raise
            dump.finish()
            reader.finish()
        return contents.result()

    def _write_and_read(self, dump: IO[bytes], reader: IO[bytes], file: BinaryIO) -> None:
        self._write(cast("BinaryIO", _Tee(dump, reader)), file)
        reader.close()

    def _write(self, source: BinaryIO, file: BinaryIO) -> None:
        if self._encryptor is None:
            file.write(source.read())
        else:
            self._encryptor.encrypt(source, file)

    def _await(self, work: Sequence[Future[Any]], copy_progress: CopyProgress) -> None:
        pending = set(work)
        while pending:
            done, pending = futures.wait(
                pending, timeout=_LOOK_EVERY_S, return_when=futures.FIRST_COMPLETED
            )
            for one in done:
                one.result()
            self._update(copy_progress)

    def _update(self, copy_progress: CopyProgress) -> None:
        disk_space.check_to_go_on(self._folder)
        copy_progress.update()


def _refuse_closed(names: Iterable[str]) -> None:
    if closed := sorted(names):
        raise BackupError(
            f"Nobody may connect to {', '.join(closed)}, so it cannot be backed up.",
            f"Allow it: ALTER DATABASE {closed[0]} ALLOW_CONNECTIONS true; or drop it.",
        )


class _Tee:
    """A stream that shows everything that is read from it to another reader too."""

    def __init__(self, source: IO[bytes], other: IO[bytes]) -> None:
        self._source = source
        self._other = other

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self._other.write(block)
        return block
