"""What an app has to bring; all that the rest of the appliance knows of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.database.connect import Connection
from appliance.migrations.tracks import Track, read_migrations


def _no_routes() -> Sequence[Any]:
    return ()


def _nothing_wrong(_connection: Connection) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class App:
    """A guest in the API's process. Whatever is left out, it does not have.

    `name` is that of its track and its ledger, `description` stands in the OpenAPI document.
    `migrations` is a folder of numbered files, which also grant the API's role what it may do.
    `formerly` is the engine's migration that did what the first of them does, before apps had
    ledgers of their own.

    `routes` loads what the API answers, as `web.operations.Route`: only the API calls it, so that
    nobody else carries the web framework. `check` says in a sentence what is wrong with the data of
    a database, which may lack its tables; None if nothing is. `checked` completes "…, and" where it
    found nothing. `counts` are the tables whose rows a backup shows, by the names that they have
    there; a table is named with its schema.
    """

    name: str
    description: str = ""
    migrations: Path | None = None
    formerly: str | None = None
    routes: Callable[[], Sequence[Any]] = _no_routes
    check: Callable[[Connection], str | None] = _nothing_wrong
    checked: str | None = None
    counts: Mapping[str, str] = field(default_factory=dict)

    def tracks(self) -> tuple[Track, ...]:
        """Its track, if it has migrations; raises SchemaError if they break the rules."""
        if self.migrations is None:
            return ()
        return (Track(self.name, read_migrations(self.migrations), self.formerly),)
