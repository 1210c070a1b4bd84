"""Backups in an S3 bucket: Amazon's, R2, MinIO and others that speak it."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance.backups.backup_errors import DamagedError, DestinationError, NotFoundError
from appliance.backups.destinations import copying
from appliance.backups.destinations.bucket import (
    Bucket,
    NoSuchObjectError,
    ObjectExistsError,
    S3Credentials,
    S3Object,
    S3Timeouts,
)
from appliance.backups.destinations.destination import (
    DAY_S,
    STAGING,
    ReportBytes,
    StoredBackup,
    can_be_name,
    check_manifest,
    check_name_matches,
    is_incomplete,
    missing_error,
    name_taken_error,
    not_found_error,
)
from appliance.backups.destinations.folder_errors import check_space, os_errors_explained
from appliance.backups.destinations.s3_copying import altered_error, is_there, receive, send
from appliance.backups.format import backup_name
from appliance.backups.format import manifest as manifests
from appliance.backups.format.manifest import Manifest

_LISTING_THREADS = 8


class S3Destination:
    """A bucket with a folder for each backup.

    What arrives is verified: a file's SHA-256 is compared with the manifest while it is read, and
    its upload is completed only then; each request is signed with the SHA-256 of its body, which
    Amazon checks; and because not every server does, the ETag that the server computed is compared
    with our own, and where it is none of the content (R2 in parts, KMS) the object is read again.

    While a backup is stored or deleted, an empty object `.staging` is in its folder: `clean`
    touches no folder without one. A process that is killed may leave parts of one file that no
    list shows; R2 and MinIO remove them by themselves, Amazon if the bucket has a rule that aborts
    incomplete multipart uploads.
    """

    def __init__(
        self,
        name: str,
        bucket: str,
        prefix: str,
        endpoint: str | None,
        region: str | None,
        credentials: S3Credentials,
        timeouts: S3Timeouts | None = None,
    ) -> None:
        """`prefix` may be empty. Without `endpoint` it is Amazon's, in `region`."""
        region = region or "us-east-1"
        endpoint = (endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/")
        timeouts = timeouts or S3Timeouts()
        self._bucket = Bucket(bucket, prefix.strip("/"), endpoint, region, credentials, timeouts)
        self.name = name
        self.where = self._bucket.where

    def list_manifests(self) -> list[StoredBackup]:
        """All backups here by name; see Destination."""
        found = [name for name in self._bucket.folders() if can_be_name(name)]
        with ThreadPoolExecutor(_LISTING_THREADS) as threads:
            return [entry for entry in threads.map(self._entry, found) if entry]

    def read_manifest(self, name: str) -> Manifest:
        """The manifest of one backup; raises NotFoundError, DamagedError."""
        backup_name.check(name)
        try:
            text = self._bucket.read(f"{name}/{manifests.FILE}")
        except NoSuchObjectError:
            raise missing_error(name, self.where, self._bucket.names(name)) from None
        return check_name_matches(manifests.parse(text, f"{self.where}/{name}"), name, self.where)

    def store(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup to here; see Destination. Called again, it sends what is not here yet."""
        check_manifest(manifest)
        here = {entry.key: entry for entry in self._bucket.objects(manifest.name)}
        if f"{manifest.name}/{manifests.FILE}" in here:
            raise name_taken_error(manifest.name, self.where)
        self._mark(manifest.name)
        for file in manifest.files:
            found = here.get(f"{manifest.name}/{file.path}")
            if is_there(self._bucket, manifest.name, file, folder, found):
                report(file.size)
            else:
                send(self._bucket, manifest.name, file, folder, report)
        self._complete(manifest)

    def fetch(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup from here; see Destination."""
        check_manifest(manifest)
        check_space(folder, manifest.size)
        here = {entry.key: entry for entry in self._bucket.objects(manifest.name)}
        if f"{manifest.name}/{manifests.FILE}" not in here:
            raise missing_error(manifest.name, self.where, _found(here))
        for file in manifest.files:
            found = here.get(f"{manifest.name}/{file.path}")
            blocks = receive(self._bucket, manifest.name, file, found)
            with os_errors_explained(folder, manifest.size):
                checked = copying.checked(blocks, file, manifest.name, report)
                copying.write(checked, folder / file.path, durable=False)

    def folder_of(self, name: str) -> None:
        """None: it must be fetched."""
        backup_name.check(name)

    def delete(self, name: str) -> int:
        """Remove a backup; returns bytes freed. Broken off, `clean` removes the rest."""
        backup_name.check(name)
        sizes = {entry.key: entry.size for entry in self._bucket.objects(name)}
        if f"{name}/{manifests.FILE}" not in sizes and not is_incomplete(name, _found(sizes)):
            raise not_found_error(name, self.where)
        self._mark(name)
        self._bucket.delete([f"{name}/{manifests.FILE}"])
        self._remove(name, set(sizes))
        return sum(sizes.values())

    def clean(self, older_than_s: float = DAY_S) -> None:
        """Remove what is marked as incomplete and was not written to for so long."""
        for name, objects in _by_folder(self._bucket.objects()).items():
            keys = {entry.key for entry in objects}
            newest = max(entry.modified for entry in objects)
            age_s = (datetime.now(UTC) - newest).total_seconds()
            if f"{name}/{STAGING}" in keys and age_s >= older_than_s:
                whole = f"{name}/{manifests.FILE}" in keys
                self._remove(name, set() if whole else keys)

    def _entry(self, name: str) -> StoredBackup | None:
        try:
            manifest = self.read_manifest(name)
            sizes = {entry.key: entry.size for entry in self._bucket.objects(name)}
            manifests.check_sizes(manifest, lambda path: sizes.get(f"{name}/{path}"))
            return StoredBackup(name, manifest, None)
        except NotFoundError:
            return None
        except DamagedError as error:
            return StoredBackup(name, None, error)

    def _mark(self, name: str) -> None:
        self._bucket.put(f"{name}/{STAGING}", b"")

    def _remove(self, name: str, keys: set[str]) -> None:
        # The mark goes last, or nobody would know what the rest is.
        self._bucket.delete(sorted(keys - {f"{name}/{STAGING}"}))
        self._bucket.delete([f"{name}/{STAGING}"])

    def _complete(self, manifest: Manifest) -> None:
        key = f"{manifest.name}/{manifests.FILE}"
        body = (json.dumps(manifest.to_json(), indent=2) + "\n").encode()
        try:
            self._bucket.put(key, body, new=True)
        except DestinationError as error:
            # The answer may be lost and the manifest there; the library may have tried again too.
            if self._content(key) != body:
                taken = isinstance(error, ObjectExistsError)
                raise (name_taken_error(manifest.name, self.where) if taken else error) from None
        if self._content(key) != body:
            self._bucket.delete([key])
            raise altered_error(key, self._bucket)
        with suppress(DestinationError):
            self._bucket.delete([f"{manifest.name}/{STAGING}"])

    def _content(self, key: str) -> bytes | None:
        with suppress(NoSuchObjectError):
            return self._bucket.read(key)
        return None


def _found(keys: Iterable[str]) -> set[str]:
    """What lies in a folder, by the keys of all that is below it."""
    return {key.split("/")[1] for key in keys}


def _by_folder(objects: list[S3Object]) -> dict[str, list[S3Object]]:
    folders: dict[str, list[S3Object]] = {}
    for entry in objects:
        folder, slash, _ = entry.key.partition("/")
        if slash and can_be_name(folder):
            folders.setdefault(folder, []).append(entry)
    return folders
