"""Is the schema what this version needs? Ahead is fine, behind is not."""

from dataclasses import dataclass

from appliance.database.connect import Connection
from appliance.database.units_of_work import Database
from appliance.errors import SchemaError
from appliance.migrations import ledger
from appliance.migrations.tracks import Track


@dataclass(frozen=True)
class TrackState:
    """Where one track stands: last number applied, last number required, files pending."""

    name: str
    applied: int
    required: int
    pending: tuple[str, ...]


@dataclass(frozen=True)
class SchemaState:
    """Where both tracks stand."""

    engine: TrackState
    client: TrackState

    @property
    def in_sync(self) -> bool:
        """Whether the engine track has everything; a client track behind does not count."""
        return not self.engine.pending

    @property
    def message(self) -> str:
        """What is missing, for people."""
        if self.engine.applied > self.engine.required:
            return (
                f"The schema is ahead of this version (engine {self.engine.applied:04d}, needed "
                f"{self.engine.required:04d}), which is fine."
            )
        if self.in_sync:
            return f"The schema is in sync (engine {self.engine.applied:04d})."
        return (
            f"The database is behind this version: it needs engine migration "
            f"{self.engine.required:04d}, the database has {self.engine.applied:04d}. "
            f"Pending: {', '.join(self.engine.pending)}."
        )


def read_schema_state(connection: Connection, tracks: tuple[Track, Track]) -> SchemaState:
    """Compare the ledgers with the files."""
    engine, client = (_track_state(connection, track) for track in tracks)
    return SchemaState(engine, client)


def check(state: SchemaState) -> None:
    """Raise SchemaError if the engine track is behind."""
    if not state.in_sync:
        raise SchemaError(
            state.message,
            "Run `appliance migrate`; SKIP_SCHEMA_CHECK=true serves without it.",
        )


class SchemaGate:
    """Remembers that the schema is in sync: migrations only go forward, so once is for ever."""

    def __init__(self, database: Database, tracks: tuple[Track, Track], *, skip: bool) -> None:
        self._database = database
        self._tracks = tracks
        self._open = skip

    def state(self) -> SchemaState:
        """Ask the database where the tracks stand."""
        return self._database.read(lambda connection: read_schema_state(connection, self._tracks))

    def open(self) -> bool:
        """Whether requests may be served; asks the database until the answer is yes."""
        if not self._open:
            self._open = self.state().in_sync
        return self._open


def _track_state(connection: Connection, track: Track) -> TrackState:
    entries = ledger.read(connection, track)
    applied = {entry.number for entry in entries}
    pending = tuple(m.name for m in track.migrations if m.number not in applied)
    return TrackState(track.name, max(applied, default=0), track.required, pending)
