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
    """Where all tracks stand; `app` is None if there is no app."""

    engine: TrackState
    app: TrackState | None
    client: TrackState

    @property
    def in_sync(self) -> bool:
        """Whether engine and app have everything; a client track behind does not count."""
        return not any(track.pending for track in self._ours)

    @property
    def message(self) -> str:
        """What is missing, for people."""
        for track in self._ours:
            if track.pending:
                return (
                    f"The database is behind this version: it needs {track.name} migration "
                    f"{track.required:04d}, the database has {track.applied:04d}. "
                    f"Pending: {', '.join(track.pending)}."
                )
        for track in self._ours:
            if track.applied > track.required:
                return (
                    f"The schema is ahead of this version ({track.name} {track.applied:04d}, "
                    f"needed {track.required:04d}), which is fine."
                )
        applied = ", ".join(f"{track.name} {track.applied:04d}" for track in self._ours)
        return f"The schema is in sync ({applied})."

    @property
    def _ours(self) -> tuple[TrackState, ...]:
        return (self.engine,) if self.app is None else (self.engine, self.app)


def read_schema_state(connection: Connection, tracks: tuple[Track, ...]) -> SchemaState:
    """Compare the ledgers with the files; `tracks` as `load_tracks` returns them."""
    engine, *of_app, client = (_track_state(connection, track) for track in tracks)
    return SchemaState(engine, of_app[0] if of_app else None, client)


def check(state: SchemaState) -> None:
    """Raise SchemaError if engine or app are behind."""
    if not state.in_sync:
        raise SchemaError(
            state.message,
            "Run `appliance migrate`; SKIP_SCHEMA_CHECK=true serves without it.",
        )


class SchemaGate:
    """Remembers that the schema is in sync: migrations only go forward, so once is for ever."""

    def __init__(self, database: Database, tracks: tuple[Track, ...], *, skip: bool) -> None:
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
