"""Backups in an S3 bucket: Amazon's, R2, MinIO and others that speak it."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from appliance.backups.backup_errors import DamagedError, DestinationError, NotFoundError
from appliance.backups.destinations import local_files
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
    ReportBytes,
    StoredBackup,
    check_name_matches,
    is_incomplete,
    missing_error,
    name_taken_error,
    not_found_error,
)
from appliance.backups.destinations.local_files import BLOCK_BYTES, Block
from appliance.backups.format import manifest as manifests
from appliance.backups.format.backup_name import BackupName, names_among
from appliance.backups.format.manifest import STAGING, File, Manifest, damaged_error
from appliance.system import clock

_LISTING_THREADS = 8
_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000


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
        names = names_among(self._bucket.folders())
        with ThreadPoolExecutor(_LISTING_THREADS) as threads:
            return [entry for entry in threads.map(self._entry, names) if entry]

    def read_manifest(self, name: BackupName) -> Manifest:
        """The manifest of one backup; raises NotFoundError, DamagedError."""
        try:
            text = self._bucket.read(f"{name}/{manifests.FILE}")
        except NoSuchObjectError:
            raise missing_error(name, self.where, self._bucket.names(name)) from None
        return check_name_matches(manifests.parse(text, f"{self.where}/{name}"), name, self.where)

    def store(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup to here; see Destination. Called again, it sends what is not here yet."""
        here = {entry.key: entry for entry in self._bucket.objects(manifest.name)}
        if f"{manifest.name}/{manifests.FILE}" in here:
            raise name_taken_error(manifest.name, self.where)
        self._mark(manifest.name)
        for file in manifest.files:
            stored = here.get(f"{manifest.name}/{file.path}")
            if self._is_there(manifest.name, file, folder, stored):
                report(file.size)
            else:
                self._send(manifest.name, file, folder, report)
        self._complete(manifest)

    def fetch(self, manifest: Manifest, folder: Path, report: ReportBytes) -> None:
        """Copy a backup from here; see Destination."""
        local_files.check_space(folder, manifest.size)
        here = {entry.key: entry for entry in self._bucket.objects(manifest.name)}
        if f"{manifest.name}/{manifests.FILE}" not in here:
            raise missing_error(manifest.name, self.where, _top_names(here))
        for file in manifest.files:
            stored = here.get(f"{manifest.name}/{file.path}")
            blocks = self._receive(manifest.name, file, stored)
            with local_files.os_errors_explained(folder, manifest.size):
                checked = local_files.checked(blocks, file, manifest.name, report)
                local_files.write(checked, folder / file.path, durable=False)

    def folder_of(self, name: BackupName) -> None:
        """None: it must be fetched."""

    def delete(self, name: BackupName) -> int:
        """Remove a backup; returns bytes freed. Broken off, `clean` removes the rest."""
        sizes = {entry.key: entry.size for entry in self._bucket.objects(name)}
        if f"{name}/{manifests.FILE}" not in sizes and not is_incomplete(name, _top_names(sizes)):
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
            age_s = (clock.utc_now() - newest).total_seconds()
            if f"{name}/{STAGING}" in keys and age_s >= older_than_s:
                committed = f"{name}/{manifests.FILE}" in keys
                self._remove(name, set() if committed else keys)

    def _entry(self, name: BackupName) -> StoredBackup | None:
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
            raise self._altered(key)
        with suppress(DestinationError):
            self._bucket.delete([f"{manifest.name}/{STAGING}"])

    def _content(self, key: str) -> bytes | None:
        with suppress(NoSuchObjectError):
            return self._bucket.read(key)
        return None

    def _is_there(self, backup: str, file: File, folder: Path, stored: S3Object | None) -> bool:
        """Whether the bucket has this file already; raises DamagedError if `folder` has another."""
        if stored is None or stored.size != file.size:
            return False
        tag = _ETag(file.size)
        for _ in tag.over(local_files.read_checked(folder, file, backup, lambda _: None)):
            pass
        return self._arrived(stored.key, file, stored.tag, tag)

    def _send(self, backup: str, file: File, folder: Path, report: ReportBytes) -> None:
        key, tag, part = f"{backup}/{file.path}", _ETag(file.size), _part_bytes(file.size)
        blocks = tag.over(local_files.read_checked(folder, file, backup, report))
        if file.size > part:
            answered = self._bucket.put_parts(key, blocks, part)
        else:
            answered = self._bucket.put(key, b"".join(blocks))
        if not self._arrived(key, file, answered, tag):
            self._bucket.delete([key])
            raise self._altered(key)

    def _receive(self, backup: str, file: File, stored: S3Object | None) -> Iterator[Block]:
        """A file's blocks; raises DamagedError if what is there cannot be the file."""
        if stored is None:
            raise damaged_error(backup, f"{file.path} is missing")
        if stored.size != file.size:
            raise damaged_error(backup, f"{file.path} has {stored.size} bytes, not {file.size}")
        return self._bucket.blocks(stored.key, file.size)

    def _arrived(self, key: str, file: File, answered: str, tag: "_ETag") -> bool:
        if answered == str(tag):
            return True
        digest = hashlib.sha256()
        for block in self._bucket.blocks(key, file.size):
            digest.update(block)
        return digest.hexdigest() == file.sha256

    def _altered(self, key: str) -> DestinationError:
        return DestinationError(
            f"{key} did not arrive in {self.where} as it was sent.",
            "Store the backup again; if that does not help, its server or the way there is broken.",
        )


class _ETag:
    """Computes the ETag of a file: the MD5 of its bytes, or that of the MD5s of its parts.

    Servers that encrypt with KMS, and R2 for parts, have others; those say nothing.
    """

    def __init__(self, size: int) -> None:
        self._part = _part_bytes(size)
        self._in_parts = size > self._part
        self._digests: list[bytes] = []
        self._digest = _md5()
        self._filled = 0

    def over(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks of 1 MiB on and compute; the last one may be smaller."""
        for block in blocks:
            self._digest.update(block)
            self._filled += len(block)
            if self._in_parts and self._filled == self._part:
                self._end_part()
            yield block
        if self._in_parts and self._filled:
            self._end_part()

    def __str__(self) -> str:
        if not self._in_parts:
            return self._digest.hexdigest()
        return f"{_md5(b''.join(self._digests)).hexdigest()}-{len(self._digests)}"

    def _end_part(self) -> None:
        self._digests.append(self._digest.digest())
        self._digest, self._filled = _md5(), 0


def _md5(content: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(content, usedforsecurity=False)


def _part_bytes(size: int) -> int:
    """In parts of how many bytes a file is sent: 8 MiB, and more above 78 GiB, as S3 has it.

    >>> _part_bytes(1 << 30), _part_bytes(100 << 30)
    (8388608, 11534336)
    """
    blocks = -(-size // (_MOST_PARTS * BLOCK_BYTES))
    return max(_PART_BYTES, blocks * BLOCK_BYTES)


def _top_names(keys: Iterable[str]) -> set[str]:
    """What lies in a folder, by the keys of all that is below it."""
    return {key.split("/")[1] for key in keys}


def _by_folder(objects: list[S3Object]) -> dict[BackupName, list[S3Object]]:
    folders: dict[str, list[S3Object]] = {}
    for entry in objects:
        folder, slash, _ = entry.key.partition("/")
        if slash:
            folders.setdefault(folder, []).append(entry)
    return {name: folders[name] for name in names_among(folders)}
