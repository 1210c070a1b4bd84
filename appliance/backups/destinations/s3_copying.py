"""One file of a backup to a bucket and from it, checked on arrival."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from appliance.backups.backup_errors import DestinationError
from appliance.backups.destinations import copying
from appliance.backups.destinations.bucket import Bucket, S3Object
from appliance.backups.destinations.copying import Block
from appliance.backups.destinations.destination import ReportBytes
from appliance.backups.destinations.etag import ETag, part_bytes
from appliance.backups.format.manifest import File, damaged_error


def is_there(bucket: Bucket, backup: str, file: File, folder: Path, found: S3Object | None) -> bool:
    """Whether the bucket has this file already; raises DamagedError if `folder` has another."""
    if found is None or found.size != file.size:
        return False
    tag = ETag(file.size)
    for _ in tag.over(copying.read_checked(folder, file, backup, lambda _: None)):
        pass
    return _arrived(bucket, found.key, file, found.tag, tag)


def send(bucket: Bucket, backup: str, file: File, folder: Path, report: ReportBytes) -> None:
    """Write a file to the bucket; raises DamagedError, and DestinationError if it went wrong."""
    key, tag = f"{backup}/{file.path}", ETag(file.size)
    blocks = tag.over(copying.read_checked(folder, file, backup, report))
    if file.size > part_bytes(file.size):
        answered = bucket.put_parts(key, blocks, part_bytes(file.size))
    else:
        answered = bucket.put(key, b"".join(blocks))
    if not _arrived(bucket, key, file, answered, tag):
        bucket.delete([key])
        raise altered_error(f"{backup}/{file.path}", bucket)


def receive(bucket: Bucket, backup: str, file: File, found: S3Object | None) -> Iterator[Block]:
    """A file's blocks as the bucket has them; raises DamagedError if that cannot be the file."""
    if found is None:
        raise damaged_error(backup, f"{file.path} is missing")
    if found.size != file.size:
        raise damaged_error(backup, f"{file.path} has {found.size} bytes, not {file.size}")
    return bucket.blocks(found.key, file.size)


def altered_error(key: str, bucket: Bucket) -> DestinationError:
    """The error for what the bucket has not as it was sent."""
    return DestinationError(
        f"{key} did not arrive in {bucket.where} as it was sent.",
        "Store the backup again; if that does not help, its server or the way there is broken.",
    )


def _arrived(bucket: Bucket, key: str, file: File, answered: str, tag: ETag) -> bool:
    if answered == str(tag):
        return True
    digest = hashlib.sha256()
    for block in bucket.blocks(key, file.size):
        digest.update(block)
    return digest.hexdigest() == file.sha256
