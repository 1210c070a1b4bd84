"""Getting at a backup's files: where they lie, or fetched for a while; and what decrypts them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.backups.catalog import Catalog, Listed
from appliance.backups.destinations.contract import damaged
from appliance.backups.encryption import Keyring, Opener
from appliance.backups.load import Source
from appliance.backups.manifest import Manifest
from appliance.backups.progress import Progress
from appliance.backups.room import Room


class Opening:
    """Opens backups of a catalog with the keys at hand; `folder` takes what must be fetched."""

    def __init__(
        self, catalog: Catalog, keyring: Keyring, folder: Path, progress: Progress
    ) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._folder = folder
        self._progress = progress

    @contextmanager
    def open(self, listed: Listed) -> Iterator[Source]:
        """The backup, as long as the block lasts.

        Raises KeyRefusedError before anything is fetched that could be large, DamagedError, and
        its fault if it has one.
        """
        if listed.manifest is None:
            raise listed.fault or damaged(listed.name, "its manifest cannot be read")
        manifest, keepers = listed.manifest, self._catalog.keepers(listed)
        at_hand = next((path for one in keepers if (path := one.folder_of(listed.name))), None)
        if at_hand is not None:
            yield Source(manifest, at_hand, self._opener(manifest, at_hand))
            return
        fetched = self._folder / f".staging-fetch-{listed.name}"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir(mode=0o750)
        try:
            Room(fetched).check(manifest.size)
            self._progress.begin(f"fetching from {keepers[0].name}", manifest.size)
            keepers[0].fetch(manifest, fetched, self._progress.add)
            yield Source(manifest, fetched, self._opener(manifest, fetched))
        finally:
            shutil.rmtree(fetched, ignore_errors=True)

    def _opener(self, manifest: Manifest, folder: Path) -> Opener | None:
        if not manifest.encrypted:
            return None
        try:
            file = manifest.identity_file
            sealed = (folder / file).read_bytes() if file else None
        except FileNotFoundError as error:
            raise damaged(manifest.name, f"{file} is missing") from error
        return self._keyring.open_for(manifest.recipients, sealed, f"the backup {manifest.name}")
