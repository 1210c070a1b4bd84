"""The files of a track: numbered, in order, each with a checksum."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import SchemaError

ENGINE_FOLDER = Path(__file__).parent / "sql" / "engine"
NO_TRANSACTION = "-- appliance: no-transaction"

# The first line of a file of ours that was emptied: what it was, for ledgers that remember it.
_CHECKSUM_OF_OLD = re.compile(r"-- appliance: checksum (?P<checksum>[0-9a-f]{64})\n")
_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<title>[a-z0-9][a-z0-9_-]*)\.sql")


@dataclass(frozen=True)
class Migration:
    """One file. `checksum` is the SHA-256 of its bytes, in hexadecimal, or of what they were."""

    number: int
    name: str
    sql: str
    checksum: str

    @property
    def transactional(self) -> bool:
        """Whether it runs inside a transaction; its first line says when it must not."""
        return self.sql.partition("\n")[0].strip() != NO_TRANSACTION


@dataclass(frozen=True)
class Track:
    """An ordered set of migrations: `engine` is ours, `client` belongs to whoever runs this, and
    between them is the app's, by its name.

    `formerly` is the file of the engine that did the work of the first one, if one did.
    """

    name: str
    migrations: tuple[Migration, ...]
    formerly: str | None = None

    @property
    def required(self) -> int:
        """The number of the last migration, 0 if there are none."""
        return self.migrations[-1].number if self.migrations else 0


def load_tracks(of_app: Iterable[Track], client_folder: Path | None) -> tuple[Track, ...]:
    """Every track: engine, app, client. Raises SchemaError for a file that breaks the rules."""
    engine = tuple(_as_it_was(migration) for migration in read_migrations(ENGINE_FOLDER))
    client = read_migrations(client_folder) if client_folder else ()
    return Track("engine", engine), *of_app, Track("client", client)


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read the .sql files of a folder; the numbers must run 1, 2, 3 without a gap."""
    try:
        files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(".sql"))
        migrations = tuple(_read(path) for path in files)
    except OSError as error:
        raise SchemaError(
            f"The migrations cannot be read: {error.strerror} ({error.filename}).",
            "Give every user read access to the folder and its files.",
        ) from error
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise _out_of_order(folder, expected, migration)
    return migrations


def _as_it_was(migration: Migration) -> Migration:
    match = _CHECKSUM_OF_OLD.match(migration.sql)
    return replace(migration, checksum=match["checksum"]) if match else migration


def _out_of_order(folder: Path, expected: int, found: Migration) -> SchemaError:
    what = (
        f"Migration number {found.number:04d} is used twice in {folder}, by {found.name} too."
        if 0 < found.number < expected
        else f"Migration number {expected:04d} is missing in {folder}: the next file is "
        f"{found.name}."
    )
    return SchemaError(
        what, "The numbers must run 0001, 0002, 0003 without a gap and without a repeat."
    )


def _read(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise SchemaError(
            f"The migration {path} has a name that is not understood.",
            "Call it 0001_what_it_does.sql: four digits, then lower-case letters and digits.",
        )
    content = path.read_bytes()
    try:
        # Some editors put a byte order mark before the text.
        sql = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError(
            f"The migration {path} is not UTF-8 text.", "Save it as UTF-8."
        ) from error
    if "\0" in sql:
        # Postgres' client would take it for the end and run the first part alone.
        raise SchemaError(f"The migration {path} holds a zero byte.", "Remove it.")
    return Migration(int(match["number"]), path.name, sql, hashlib.sha256(content).hexdigest())
