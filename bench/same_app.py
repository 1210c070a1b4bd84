"""Our own app for plain gunicorn: what `appliance up` serves, without anything around it."""

import os
from pathlib import Path
from typing import Any

from appliance.api.app import create_app
from appliance.api.serve import open_database
from appliance.apps.books.books import BOOKS
from appliance.migrations.schema_check import SchemaGate
from appliance.migrations.tracks import load_tracks
from appliance.settings import Settings
from appliance.storage.paths import Storage


def make() -> Any:
    """The app on the bare parts' Postgres."""
    settings = Settings(storage_dir=Path(os.environ["BARE_STORAGE"]))
    storage = Storage(settings.storage_dir)
    database = open_database(settings, storage)
    return create_app(
        settings,
        storage,
        database,
        SchemaGate(database, load_tracks(BOOKS.tracks(), None), skip=False),
        BOOKS,
    )
