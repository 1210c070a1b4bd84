"""Getting at a backup's files: where they lie, or fetched for a while; and what decrypts them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.backups import manifest as manifests
from appliance.backups.catalog import Catalog, Listed
from appliance.backups.destinations.contract import Destination
from appliance.backups.encryption import Keyring, Opener
from appliance.backups.errors import DamagedError
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
        """The backup and what decrypts it, as long as the block lasts; see `files`.

        Raises KeyRefusedError, before anything is fetched if no key is in the backup itself.
        """
        manifest = listed.usable()
        opener = self._opener(manifest, None) if manifest.identity_file is None else None
        with self._found(listed) as (keeper, folder):
            with _naming(keeper):
                opener = opener or self._opener(manifest, folder)
                manifests.check_files(manifest, folder)
            yield Source(manifest, folder, opener)

    @contextmanager
    def files(self, listed: Listed) -> Iterator[Path]:
        """The folder of the backup, fetched if none is at hand, as long as the block lasts.

        Every file in it was compared with the manifest. Raises DamagedError, and the backup's
        fault if it has one.
        """
        manifest = listed.usable()
        with self._found(listed) as (keeper, folder):
            with _naming(keeper):
                manifests.check_files(manifest, folder)
            yield folder

    @contextmanager
    def _found(self, listed: Listed) -> Iterator[tuple[Destination, Path]]:
        keepers = self._catalog.keepers(listed)
        for keeper in keepers:
            if (at_hand := keeper.folder_of(listed.name)) is not None:
                yield keeper, at_hand
                return
        with self._fetched(listed.usable(), keepers[0]) as folder:
            yield keepers[0], folder

    @contextmanager
    def _fetched(self, manifest: Manifest, keeper: Destination) -> Iterator[Path]:
        fetched = self._folder / f".staging-fetch-{manifest.name}"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir(mode=0o750)
        try:
            Room(fetched).check(manifest.size)
            self._progress.begin(f"fetching from {keeper.name}", manifest.size)
            with _naming(keeper):
                keeper.fetch(manifest, fetched, self._progress.add)
            yield fetched
        finally:
            shutil.rmtree(fetched, ignore_errors=True)

    def _opener(self, manifest: Manifest, folder: Path | None) -> Opener | None:
        if not manifest.encrypted:
            return None
        sealed = None
        for file in manifest.files:
            if folder is not None and file.path == manifest.identity_file:
                # Altered, it would look as if the passphrase were wrong.
                manifests.check_file(manifest, folder, file)
                sealed = (folder / file.path).read_bytes()
        return self._keyring.open_for(manifest.recipients, sealed, f"the backup {manifest.name}")


@contextmanager
def _naming(keeper: Destination) -> Iterator[None]:
    """Say which copy is damaged: another one may not be."""
    try:
        yield
    except DamagedError as error:
        raise DamagedError(f"In {keeper.name}: {error.message}", error.hint) from error
