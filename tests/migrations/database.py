"""One database on a shared Postgres, made anew for each test, and a folder of the app's files."""

from collections.abc import Collection
from pathlib import Path

from psycopg import sql

from appliance.apps.books.books import BOOKS
from appliance.database import roles
from appliance.database.connect import Connection, connect
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.storage.paths import Storage


class Database:
    """An empty database with its roles; `write` fills the client track's folder.

    `app` is the one whose migrations run.
    """

    def __init__(self, storage: Storage, files: Path) -> None:
        self.storage = storage
        self.files = files
        self.app = BOOKS
        self.reported: list[str] = []

    def recreate(self) -> None:
        """Throw the database away and make it again, as the agent does."""
        with connect(self.storage, config.SUPERUSER, database="postgres") as superuser:
            superuser.execute("DROP DATABASE IF EXISTS appliance WITH (FORCE)")
            roles.ensure(superuser)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one of the app's migrations."""
        file = self.files / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(0o644)
        return file

    def migrate(self, *, timeout_s: float = 10.0, adopt: Collection[str] = ()) -> int:
        """Run every track in this process."""
        with self.connect(config.OWNER_ROLE) as owner:
            return runner.migrate(
                owner,
                load_tracks(self.app.tracks(), self.files),
                timeout_s=timeout_s,
                report=self.reported.append,
                adopt=adopt,
            )

    def connect(self, role: str = config.SUPERUSER) -> Connection:
        """A direct connection in autocommit mode."""
        return connect(self.storage, role)

    def ledger(self, track: str = "client") -> list[str]:
        """The names in a ledger, in order."""
        with self.connect() as superuser:
            table = sql.Identifier("appliance", f"{track}_ledger")
            rows = superuser.execute(sql.SQL("SELECT name FROM {} ORDER BY number").format(table))
            return [row[0] for row in rows]

    def tables(self) -> set[str]:
        """The tables in the schema public that are not the books'."""
        with self.connect() as superuser:
            rows = superuser.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {row[0] for row in rows} - {"accounts", "transactions", "postings"}
