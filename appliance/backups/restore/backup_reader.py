"""Reading a backup: its files where they lie, or fetched for a while; and what decrypts them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.backups.backup_errors import DamagedError
from appliance.backups.destinations.catalog import Catalog, CatalogEntry
from appliance.backups.format import manifest as manifests
from appliance.backups.format.encryption import Decryptor, Keyring
from appliance.backups.format.manifest import Manifest
from appliance.backups.restore.load import Source
from appliance.postgres import disk_space
from appliance.system.progress import Progress


class BackupReader:
    """Reads backups of a catalog with the keys at hand; `folder` takes what must be fetched."""

    def __init__(
        self, catalog: Catalog, keyring: Keyring, folder: Path, progress: Progress
    ) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._folder = folder
        self._progress = progress

    @contextmanager
    def open(self, entry: CatalogEntry) -> Iterator[Source]:
        """The backup and what decrypts it, as long as the block lasts; see `files`.

        Raises KeyRefusedError, before anything is fetched if no key is in the backup itself.
        """
        manifest = entry.usable()
        decryptor = self._decryptor(manifest, None) if manifest.identity_file is None else None
        with self._found(entry) as (destination, folder):
            with _naming_copy(destination):
                decryptor = decryptor or self._decryptor(manifest, folder)
                manifests.check_files(manifest, folder)
            yield Source(manifest, folder, decryptor)

    @contextmanager
    def files(self, entry: CatalogEntry) -> Iterator[Path]:
        """The folder of the backup, fetched if none is at hand, as long as the block lasts.

        Every file in it was compared with the manifest. Raises DamagedError, and the backup's
        fault if it has one.
        """
        manifest = entry.usable()
        with self._found(entry) as (destination, folder):
            with _naming_copy(destination):
                manifests.check_files(manifest, folder)
            yield folder

    @contextmanager
    def _found(self, entry: CatalogEntry) -> Iterator[tuple[str, Path]]:
        """The name of a destination that keeps it, and the folder of its files."""
        destinations = self._catalog.destinations_of(entry)
        for destination in destinations:
            if (at_hand := destination.folder_of(entry.name)) is not None:
                yield destination.name, at_hand
                return
        with self._fetched(entry) as folder:
            yield destinations[0].name, folder

    @contextmanager
    def _fetched(self, entry: CatalogEntry) -> Iterator[Path]:
        manifest, destination = entry.usable(), self._catalog.destinations_of(entry)[0]
        fetched = self._folder / f".staging-fetch-{manifest.name}"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir(mode=0o750)
        try:
            disk_space.check_to_go_on(fetched, manifest.size)
            self._progress.begin(f"fetching from {destination.name}", manifest.size)
            with _naming_copy(destination.name):
                destination.fetch(manifest, fetched, self._progress.add)
            yield fetched
        finally:
            shutil.rmtree(fetched, ignore_errors=True)

    def _decryptor(self, manifest: Manifest, folder: Path | None) -> Decryptor | None:
        if not manifest.encrypted:
            return None
        encrypted_identity = None
        for file in manifest.files:
            if folder is not None and file.path == manifest.identity_file:
                # Altered, it would look as if the passphrase were wrong.
                manifests.check_file(manifest, folder, file)
                encrypted_identity = (folder / file.path).read_bytes()
        return self._keyring.decryptor_for(
            manifest.recipients, encrypted_identity, f"the backup {manifest.name}"
        )


@contextmanager
def _naming_copy(destination: str) -> Iterator[None]:
    """Say which copy is damaged: another one may not be."""
    try:
        yield
    except DamagedError as error:
        raise DamagedError(f"In {destination}: {error.message}", error.hint) from error
