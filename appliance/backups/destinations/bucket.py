"""An S3 bucket below a prefix: few calls, in bounded time and memory, with clear errors.

Nobody else knows the library. It reads AWS_ variables by itself, so everything it could find there
is said to it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from appliance.backups.backup_errors import DestinationError
from appliance.backups.destinations.local_files import Block
from appliance.backups.destinations.s3_errors import error_code, to_destination_error

# What is in memory at a time: so many parts while sending, one range while receiving.
CONCURRENT_PARTS = 2
RANGE_BYTES = 4 << 20


@dataclass(frozen=True)
class S3Credentials:
    """What signs requests. `session_token` comes with temporary keys only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class S3Timeouts:
    """How long to wait, in seconds, and how often to try again.

    `answer` is for a small request, `transfer` for a part of up to 8 MiB. No new try begins after
    `retry` seconds, so a server that is silent from the start is given up after 25 at most.
    """

    connect: float = 5.0
    answer: float = 10.0
    transfer: float = 120.0
    retry: float = 15.0
    retries: int = 5


@dataclass(frozen=True)
class S3Object:
    """One object of a list: its key below the prefix, bytes, ETag, when it was written."""

    key: str
    size: int
    tag: str
    modified: datetime


class NoSuchObjectError(DestinationError):
    """There is no such object."""


class ObjectExistsError(DestinationError):
    """There is such an object already."""


class Bucket:
    """The objects below a prefix. Every method may raise DestinationError."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        endpoint: str,
        region: str,
        credentials: S3Credentials,
        timeouts: S3Timeouts,
    ) -> None:
        self.where = f"s3://{bucket}/{prefix}".rstrip("/")
        self._described_as = f"{self.where} at {endpoint}"

        def store(timeout_s: float) -> S3Store:
            return _store(bucket, prefix, endpoint, region, credentials, timeouts, timeout_s)

        self._quick_store, self._transfer_store = store(timeouts.answer), store(timeouts.transfer)

    def folders(self) -> list[str]:
        """The first parts of all keys that have more than one, in order."""
        with self._errors_explained():
            return sorted(obstore.list_with_delimiter(self._quick_store)["common_prefixes"])

    def names(self, folder: str) -> set[str]:
        """What lies in a folder, and not in a folder of that."""
        with self._errors_explained():
            found = obstore.list_with_delimiter(self._quick_store, folder)
        keys = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return {key.rpartition("/")[2] for key in keys}

    def objects(self, folder: str = "") -> list[S3Object]:
        """Everything below a folder."""
        with self._errors_explained():
            return [
                S3Object(
                    entry["path"],
                    entry["size"],
                    _without_quotes(entry["e_tag"]),
                    entry["last_modified"],
                )
                for entries in obstore.list(self._quick_store, folder or None)
                for entry in entries
            ]

    def read(self, key: str) -> bytes:
        """A small object; raises NoSuchObjectError."""
        with self._errors_explained(key):
            return bytes(obstore.get(self._quick_store, key).bytes())

    def blocks(self, key: str, size: int) -> Iterator[Block]:
        """An object of a known size, a piece at a time; raises NoSuchObjectError."""
        for start in range(0, size, RANGE_BYTES):
            end = min(start + RANGE_BYTES, size)
            with self._errors_explained(key):
                block = memoryview(
                    obstore.get_range(self._transfer_store, key, start=start, end=end)
                )
            yield block

    def put(self, key: str, body: bytes, *, new: bool = False) -> str:
        """Write an object at once; returns its ETag.

        `new`: raises ObjectExistsError if there is one. Servers that do not know that condition
        write all the same.
        """
        with self._errors_explained(key):
            if new:
                return self._put_new(key, body)
            return _without_quotes(
                obstore.put(self._transfer_store, key, body, use_multipart=False)["e_tag"]
            )

    def put_parts(self, key: str, blocks: Iterable[Block], part_bytes: int) -> str:
        """Write an object in parts; returns its ETag. If `blocks` raises, nothing is written."""
        with self._errors_explained():
            done = obstore.put(
                self._transfer_store,
                key,
                blocks,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=CONCURRENT_PARTS,
            )
        return _without_quotes(done["e_tag"])

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is not there is no error."""
        with self._errors_explained():
            obstore.delete(self._quick_store, keys)

    def _put_new(self, key: str, body: bytes) -> str:
        try:
            return _without_quotes(
                obstore.put(self._transfer_store, key, body, mode="create")["e_tag"]
            )
        except BaseError as error:
            if error_code(error) != "NotImplemented":
                raise
        return _without_quotes(
            obstore.put(self._transfer_store, key, body, use_multipart=False)["e_tag"]
        )

    @contextmanager
    def _errors_explained(self, key: str = "") -> Iterator[None]:
        # Not `from error`: the library's errors repeat the server's answer, which may hold a token.
        try:
            yield
        except AlreadyExistsError:
            raise ObjectExistsError(f"{self._described_as} has {key} already.") from None
        except FileNotFoundError as error:
            if error_code(error) in {"", "NoSuchKey"}:
                raise NoSuchObjectError(f"{self._described_as} has no {key}.") from None
            raise to_destination_error(error, self._described_as) from None
        except BaseError as error:
            raise to_destination_error(error, self._described_as) from None


def _store(
    bucket: str,
    prefix: str,
    endpoint: str,
    region: str,
    credentials: S3Credentials,
    timeouts: S3Timeouts,
    timeout_s: float,
) -> S3Store:
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "region": region,
            "virtual_hosted_style_request": False,
            "skip_signature": False,
            # Then each request's signature covers the SHA-256 of its body.
            "unsigned_payload": False,
            "s3_express": False,
            "conditional_put": "etag",
            # Not every server has the request that deletes many.
            "disable_bulk_delete": True,
        },
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "allow_invalid_certificates": False,
            "connect_timeout": timedelta(seconds=timeouts.connect),
            "timeout": timedelta(seconds=timeout_s),
        },
        retry_config={
            "max_retries": timeouts.retries,
            "retry_timeout": timedelta(seconds=timeouts.retry),
        },
        credential_provider=cast(
            "Any",
            lambda: {
                "access_key_id": credentials.access_key_id,
                "secret_access_key": credentials.secret_access_key,
                "token": credentials.session_token,
                "expires_at": None,
            },
        ),
    )


def _without_quotes(tag: str | None) -> str:
    return (tag or "").strip('"')
