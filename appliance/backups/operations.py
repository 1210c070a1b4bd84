"""What people and programs do with backups: each action whole or not at all, and in the audit."""

import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.backups import databases, encryption, live, making, names, notes, retention
from appliance.backups import manifest as manifests
from appliance.backups.acting import acting
from appliance.backups.catalog import Catalog, Listed
from appliance.backups.destinations.contract import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.encryption import Keyring
from appliance.backups.errors import (
    BackupError,
    DestinationError,
    KeyRefusedError,
    RoomError,
)
from appliance.backups.keeping import Keeping
from appliance.backups.live import LiveRestore
from appliance.backups.manifest import Manifest
from appliance.backups.notes import Proof
from appliance.backups.opening import Opening
from appliance.backups.rebuild import Builder
from appliance.errors import ApplianceError, DatabaseError
from appliance.postgres import config
from appliance.settings import Settings


@dataclass(frozen=True)
class Pruned:
    """What pruning did; bytes of every place where they lay."""

    deleted_names: tuple[str, ...]
    retained_count: int
    bytes_freed: int


class Backups:
    """The backups of one storage. `actor` is who acts, for the audit."""

    def __init__(
        self,
        settings: Settings,
        builder: Builder,
        destinations: Sequence[Destination],
        keyring: Keyring,
        actor: str,
    ) -> None:
        self.catalog = Catalog(destinations)
        self._settings = settings
        self._builder = builder
        self._storage = builder.storage
        self._progress = builder.progress
        self._opening = Opening(self.catalog, keyring, self._storage.backups, self._progress)
        self._keeping = Keeping(destinations, self._storage, self._progress)
        self._actor = actor

    def create(self, name: str | None = None) -> Listed:
        """Make a backup and keep it in every destination.

        If only some of them took it, it stays there, and BackupError says which did not.
        """
        name = names.generate(datetime.now(UTC)) if name is None else names.check(name)
        with self._act("create", name):
            self.catalog.refuse_taken(name)
            self._clean()
            staged, home = self._keeping.stage(name)
            try:
                made = self._make(name, staged)
                self._keeping.keep(made, staged, home)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            notes.record_backup(self._storage, _noted(made, self._everywhere()))
        return self.catalog.find(name)

    def complete(self, name: str) -> Listed:
        """Store a backup in the destinations that lack it, just as it is.

        If some of them still do not take it, BackupError says which.
        """
        with self._act("complete", name):
            listed = self.catalog.find(name)
            made = listed.usable()
            with self._opening.files(listed) as folder:
                self._keeping.store(made, folder, listed.destinations)
            notes.record_backup(self._storage, _noted(made, self._everywhere()))
        return self.catalog.find(name)

    def verify(self, name: str, action: str = "verify") -> Proof:
        """Restore a backup into a throwaway cluster and compare; returns the proof, also noted.

        Raises ApplianceError if it is not what its manifest says; that is noted too.
        """
        started = time.monotonic()
        listed = self.catalog.find(name)
        with self._act(action, name):
            try:
                tables = self._prove(listed)
            except ApplianceError as error:
                if _says_something_of_the_backup(error, by_hand=action == "verify"):
                    proof = Proof.bad(name, str(error), time.monotonic() - started)
                    notes.record_proof(self._storage, proof)
                raise
            rows = sum(table.rows for table in tables)
            proof = Proof.good(name, len(tables), rows, time.monotonic() - started)
            notes.record_proof(self._storage, proof)
        return proof

    def restore(self, name: str, *, force: bool) -> Manifest:
        """Put a backup in the place of what the running appliance has; see LiveRestore."""
        listed = self.catalog.find(name)
        with (
            self._act("restore", name),
            live.changing_nothing_if_interrupted(),
            self._opening.open(listed) as source,
        ):
            LiveRestore(
                self._settings,
                self._storage,
                source,
                jobs=self._builder.jobs,
                progress=self._progress,
                actor=self._actor,
            ).run(force=force)
        return source.manifest

    def delete(self, name: str) -> int:
        """Remove a backup from every destination; returns bytes freed."""
        listed = self.catalog.find(name, whole=True)
        with self._act("delete", name):
            return self._remove([listed], self.catalog.all(whole=True))

    def prune(self, keep: int, made: Listed | None = None) -> Pruned:
        """Remove all but the newest `keep`, everywhere; see `retention.to_prune`.

        With `made`, a backup of the schedule: only what the same cluster's schedule made, and not
        that one. Whoever else keeps backups there has a schedule of his own.
        """
        with self._act("prune", None, keep=keep):
            listed = self.catalog.all(whole=True)
            doomed = self._doomed(listed, keep, made)
            freed = self._remove(doomed, listed)
        gone = tuple(one.name for one in doomed)
        return Pruned(gone, len(listed) - len(gone), freed)

    def to_prune(self, keep: int) -> list[str]:
        """What `prune` would remove."""
        listed = self.catalog.all(whole=True)
        return [one.name for one in self._doomed(listed, keep)]

    def _doomed(
        self, listed: Sequence[Listed], keep: int, made: Listed | None = None
    ) -> list[Listed]:
        # What the last trial restore has refused counts as damaged.
        bad = notes.read(self._storage).disproven
        good = [one for one in listed if one.name != bad]
        if made is None:
            return retention.to_prune(good, keep, generated_only=False)
        ours = [one for one in good if one.system_identifier == made.system_identifier]
        return retention.to_prune(ours, keep, generated_only=True, spare=[made.name])

    def own(self) -> list[Listed]:
        """The backups of this cluster, the newest first; others may keep theirs there too."""
        run = self._storage.run
        with databases.reached(), closing(databases.connect_to(run, config.DATABASE)) as connection:
            own = databases.system_identifier(connection)
        return [one for one in self.catalog.all() if one.system_identifier == own]

    def _clean(self) -> None:
        """Remove what those who died have left; with the lock nobody else writes in the storage."""
        FolderDestination("left", self._storage.backups).clean(older_than_s=0)
        for destination in self.catalog.destinations:
            # One that is away is told of when something is to be kept there.
            with suppress(BackupError):
                destination.clean()

    def _make(self, name: str, staged: Path) -> Manifest:
        asked = self._settings.backup_recipients
        recipients = encryption.check_recipients(asked) if asked else ()
        sealer = encryption.sealer(recipients, self._settings.backup_passphrase)
        jobs, progress = self._builder.jobs, self._progress
        return making.make(self._storage, staged, name, sealer, jobs=jobs, progress=progress)

    def _everywhere(self) -> tuple[str, ...]:
        return tuple(destination.name for destination in self.catalog.destinations)

    def _remove(self, doomed: Iterable[Listed], there: Iterable[Listed]) -> int:
        left, freed = {one.name: one for one in there}, 0
        for one in doomed:
            freed += self.catalog.remove(one)
            left.pop(one.name, None)
            whole = (_noted(o.manifest, o.destinations) for o in left.values() if o.manifest)
            notes.record_removal(self._storage, one.name, next(whole, None))
        return freed

    def _prove(self, listed: Listed) -> list[manifests.Table]:
        folder = self._storage.backups / ".staging-verify"
        shutil.rmtree(folder, ignore_errors=True)
        with self._opening.open(listed) as source:
            try:
                with self._builder.cluster(folder, source, None):
                    pass
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return [table for dump in source.manifest.databases for table in dump.tables]

    def _act(self, action: str, name: str | None, **facts: int) -> AbstractContextManager[None]:
        return acting(self._storage, self._actor, action, name, **facts)


def _says_something_of_the_backup(error: ApplianceError, *, by_hand: bool) -> bool:
    """Not what could not be tried: for want of room, a destination, a server; a key, by hand."""
    untried = (RoomError, DestinationError, DatabaseError)
    return not isinstance(error, (*untried, KeyRefusedError) if by_hand else untried)


def _noted(made: Manifest, destinations: tuple[str, ...]) -> notes.Backup:
    return notes.Backup(made.name, made.created_at, made.size, destinations)
