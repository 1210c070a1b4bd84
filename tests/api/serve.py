"""Serves the app on a free port, as the API program does; says the port on standard error.

Its arguments: the storage, and how many workers with how many threads.
"""

import sys
from pathlib import Path

from appliance.api import app, gunicorn_server, serve
from appliance.apps.books.books import BOOKS
from appliance.migrations.schema_check import SchemaGate
from appliance.migrations.tracks import load_tracks
from appliance.settings import Settings
from appliance.storage.paths import Storage


def main(storage: Storage, workers: int, threads: int) -> None:
    settings = Settings(storage_dir=storage.root, hold_seconds=5.0)
    listener = serve.listen(0)
    sys.stderr.write(f"port {listener.getsockname()[1]}\n")
    sys.stderr.flush()
    database = serve.open_database(settings, storage)
    gate = SchemaGate(database, load_tracks(BOOKS.tracks(), None), skip=False)
    gunicorn_server.serve(
        lambda: app.create_app(settings, storage, database, gate, BOOKS),
        listener.detach(),
        workers=workers,
        threads=threads,
    )


if __name__ == "__main__":
    main(Storage(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
