"""The manifest: what a backup holds, written when all of it is there and checked."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, GetPydanticSchema, TypeAdapter, with_config
from pydantic_core import core_schema

from appliance.backups.backup_errors import BadRequestError, DamagedError
from appliance.backups.format.backup_name import BackupName
from appliance.storage.copy_detection import MANIFEST
from appliance.system.files import write_json

FORMAT = 1
# What a format does not know, it does not leave out in silence either.
_CONFIG = ConfigDict(extra="forbid")
FILE = MANIFEST
# Marks what is no backup yet, or none any more. No name of a backup starts with a dot.
STAGING = ".staging"

_BLOCK_BYTES = 1 << 20


# Whatever reads a manifest checks the name, too.
_Name = Annotated[
    BackupName,
    GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(BackupName, handler(str))
    ),
]


@with_config(_CONFIG)
@dataclass(frozen=True)
class File:
    """One file of a backup: its path below the backup's folder, bytes, SHA-256 in hex.

    Raises ValueError for a path that leads elsewhere or means something else.
    """

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Check it: whoever can write to a destination must not lead us out of the backup."""
        parts = self.path.split("/")
        elsewhere = {"", ".", ".."} & set(parts) or not self.path.isprintable()
        if elsewhere or parts[0] in {FILE, STAGING} or self.size < 0:
            raise ValueError(f"{self.path!r} with {self.size} bytes cannot be a file of a backup")


@with_config(_CONFIG)
@dataclass(frozen=True)
class Table:
    """What a table held: rows, bytes and SHA-256 of its data as COPY writes it.

    `name` is as SQL has it, with its schema: `public.invoices`; `columns` is the list of them in
    that order, in brackets, and empty if nobody knows. Loaded, they may have another one.
    """

    name: str
    rows: int
    bytes: int
    sha256: str
    columns: str = field(default="", compare=False)


@with_config(_CONFIG)
@dataclass(frozen=True)
class DatabaseDump:
    """One database: where its dump lies, how to make it anew, what must be in it then.

    `dump` is a path below the backup's folder: a directory for pg_restore, or one encrypted file.
    `properties` are statements that complete CREATE DATABASE, see `databases.describe`. `others`
    is a checksum of sequences and large objects. `size_bytes` is what it took on disk.
    """

    name: str
    dump: str
    size_bytes: int
    properties: dict[str, Any]
    tables: tuple[Table, ...]
    others: str


@with_config(_CONFIG)
@dataclass(frozen=True)
class Manifest:
    """A whole backup. Times are ISO 8601 in UTC; sizes in bytes.

    `schema` is the last migration of each track. `identity_file` is set if a passphrase opens it.
    """

    name: _Name
    created_at: str
    finished_at: str
    appliance_version: str
    postgres_version: str
    system_identifier: str
    schema: dict[str, int]
    encrypted: bool
    recipients: tuple[str, ...]
    identity_file: str | None
    roles: str
    files: tuple[File, ...]
    databases: tuple[DatabaseDump, ...]
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def content_bytes(self) -> int:
        """Bytes of all tables' data, uncompressed."""
        return sum(table.bytes for database in self.databases for table in database.tables)

    def rows(self, database: str, table: str) -> int | None:
        """How many rows a table had, None if it is not in the backup."""
        return next(
            (
                entry.rows
                for one in self.databases
                if one.name == database
                for entry in one.tables
                if entry.name == table
            ),
            None,
        )

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return asdict(self)


def write(manifest: Manifest, folder: Path) -> None:
    """Put it into the backup's folder; from then on the backup claims to be whole."""
    write_json(folder / FILE, manifest.to_json(), 0o640)


def parse(text: str | bytes, where: str) -> Manifest:
    """Read a manifest; raises DamagedError that names `where` if it is none of ours.

    Whoever can write to a destination must not be able to lead us elsewhere on this machine.
    """
    try:
        _check_format(TypeAdapter(dict[str, Any]).validate_json(text)["format"], where)
        manifest = TypeAdapter(Manifest).validate_json(text, strict=True)
        _check_references(manifest)
    except (ValueError, KeyError, BadRequestError) as error:
        raise DamagedError(
            f"The manifest of the backup at {where} cannot be read.",
            "It was damaged or changed. Use another backup.",
        ) from error
    return manifest


def read(folder: Path) -> Manifest:
    """Read the manifest of the backup in a folder; raises DamagedError, or OSError."""
    return parse((folder / FILE).read_bytes(), str(folder))


def describe(path: Path, relative_to: Path) -> File:
    """Size and checksum of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return File(path.relative_to(relative_to).as_posix(), size, digest.hexdigest())


def check_files(manifest: Manifest, folder: Path) -> None:
    """Compare every file with the manifest; raises DamagedError that names the first difference."""
    check_sizes(manifest, lambda path: size_in(folder, path))
    for file in manifest.files:
        check_file(manifest, folder, file)


def check_file(manifest: Manifest, folder: Path, file: File) -> None:
    """Compare one file with the manifest; raises DamagedError."""
    try:
        found = describe(folder / file.path, folder)
    except FileNotFoundError as error:
        raise damaged_error(manifest.name, f"{file.path} is missing") from error
    except OSError as error:
        raise damaged_error(
            manifest.name, f"{file.path} cannot be read: {error.strerror}"
        ) from error
    if found.sha256 != file.sha256:
        raise damaged_error(manifest.name, f"{file.path} was altered")


def check_sizes(manifest: Manifest, size_of: Callable[[str], int | None]) -> None:
    """Compare what every file weighs, which is cheap; raises DamagedError.

    `size_of` is told a file's path, and returns bytes, None if it is not there.
    """
    for file in manifest.files:
        found = size_of(file.path)
        if found is None:
            raise damaged_error(manifest.name, f"{file.path} is missing")
        if found != file.size:
            raise damaged_error(manifest.name, f"{file.path} has {found} bytes, not {file.size}")


def size_in(folder: Path, path: str) -> int | None:
    """What a file in a folder weighs, None if there is no such plain file."""
    file = folder / path
    return None if file.is_symlink() or not file.is_file() else file.stat().st_size


def damaged_error(name: str, what: str) -> DamagedError:
    """The error for a backup that is not what its manifest says."""
    return DamagedError(
        f"The backup {name} is damaged: {what}.", "Use another backup, or another copy."
    )


def _check_format(number: object, where: str) -> None:
    if isinstance(number, int) and number > FORMAT:
        raise DamagedError(
            f"The backup at {where} has format {number}; this version reads format {FORMAT}.",
            "A newer version of the appliance made it: use that one, or a newer one, to read it.",
        )
    if number != FORMAT:
        raise ValueError(number)


def _check_references(manifest: Manifest) -> None:
    paths = {file.path for file in manifest.files}
    single = {manifest.roles, manifest.identity_file or manifest.roles}
    folders = {dump.dump for dump in manifest.databases} - paths
    if single - paths or any(not _is_within(folder, paths) for folder in folders):
        raise ValueError("a file that is not listed")
    datetime.fromisoformat(manifest.created_at)


def _is_within(folder: str, paths: set[str]) -> bool:
    return any(path.startswith(f"{folder}/") for path in paths)
