"""What lies in the log since the last checkpoint: a stop must flush it, a recovery replays it."""

from appliance.database.connect import Connection, connect
from appliance.postgres import config
from appliance.storage.paths import Storage

_MEBIBYTE = 1024 * 1024

# Our own settings start a checkpoint long before there is so much. It is put off in the cluster
# that all rows share, so that each of them has the same behind it.
_SETTINGS = {"max_wal_size": "4GB", "checkpoint_timeout": "1h"}

_TABLE = """
    CREATE TABLE IF NOT EXISTS filler (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key uuid NOT NULL DEFAULT gen_random_uuid(),
        text text NOT NULL
    ) WITH (autovacuum_enabled = off)
"""
_INDEX = "CREATE INDEX IF NOT EXISTS filler_key ON filler (key)"
_FILL = "INSERT INTO filler (text) SELECT repeat('written ', 60) FROM generate_series(1, %s)"
_ROWS = 10000
_BEHIND = """
    SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn)::bigint FROM pg_control_checkpoint()
"""


def prepare(storage: Storage) -> None:
    """Make the table that is filled, and let much gather before a checkpoint starts by itself."""
    with _superuser(storage) as connection:
        for name, value in _SETTINGS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(_TABLE)
        connection.execute(_INDEX)


def write(storage: Storage, mebibytes: int) -> None:
    """Let so much gather since the last checkpoint, by rows with an index in no order."""
    with _superuser(storage) as connection:
        connection.execute("TRUNCATE filler")
        connection.execute("CHECKPOINT")
        while _behind(connection) < mebibytes:
            connection.execute(_FILL, (_ROWS,))


def behind(storage: Storage) -> float:
    """How many MiB there are since the last checkpoint."""
    with _superuser(storage) as connection:
        return _behind(connection)


def checkpoint(storage: Storage) -> None:
    """CHECKPOINT."""
    with _superuser(storage) as connection:
        connection.execute("CHECKPOINT")


def _behind(connection: Connection) -> float:
    row = connection.execute(_BEHIND).fetchone()
    assert row is not None
    return round(int(row[0]) / _MEBIBYTE, 1)


def _superuser(storage: Storage) -> Connection:
    return connect(storage, config.SUPERUSER, database="postgres")
