"""How far COPY is, as Postgres tells it to another connection."""

import psycopg

from appliance.database.connect import Connection
from appliance.system.progress import Progress

_PROGRESS = "SELECT relid, bytes_processed FROM pg_stat_progress_copy WHERE datname = %s"


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
