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

from appliance.backups.destinations.copying import Block
from appliance.backups.destinations.s3_faults import code_of, explain
from appliance.backups.errors import DestinationError

# What is in memory at a time: so many parts while sending, one range while receiving.
CONCURRENT_PARTS = 2
RANGE_BYTES = 4 << 20


@dataclass(frozen=True)
class Credentials:
    """What signs requests. `session_token` comes with temporary keys only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Patience:
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
class Object:
    """One object of a list: its key below the prefix, bytes, ETag, when it was written."""

    key: str
    size: int
    tag: str
    modified: datetime


class GoneError(DestinationError):
    """There is no such object."""


class TakenError(DestinationError):
    """There is such an object already."""


class Bucket:
    """The objects below a prefix. Every method may raise DestinationError."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        endpoint: str,
        region: str,
        credentials: Credentials,
        patience: Patience,
    ) -> None:
        self.where = f"s3://{bucket}/{prefix}".rstrip("/")
        self._told_as = f"{self.where} at {endpoint}"

        def store(timeout_s: float) -> S3Store:
            return _store(bucket, prefix, endpoint, region, credentials, patience, timeout_s)

        self._quick, self._patient = store(patience.answer), store(patience.transfer)

    def folders(self) -> list[str]:
        """The first parts of all keys that have more than one, in order."""
        with self._clear():
            return sorted(obstore.list_with_delimiter(self._quick)["common_prefixes"])

    def names(self, folder: str) -> set[str]:
        """What lies in a folder, and not in a folder of that."""
        with self._clear():
            found = obstore.list_with_delimiter(self._quick, folder)
        keys = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return {key.rpartition("/")[2] for key in keys}

    def objects(self, folder: str = "") -> list[Object]:
        """Everything below a folder."""
        with self._clear():
            return [
                Object(entry["path"], entry["size"], _plain(entry["e_tag"]), entry["last_modified"])
                for entries in obstore.list(self._quick, folder or None)
                for entry in entries
            ]

    def read(self, key: str) -> bytes:
        """A small object; raises GoneError."""
        with self._clear(key):
            return bytes(obstore.get(self._quick, key).bytes())

    def blocks(self, key: str, size: int) -> Iterator[Block]:
        """An object of a known size, a piece at a time; raises GoneError."""
        for start in range(0, size, RANGE_BYTES):
            end = min(start + RANGE_BYTES, size)
            with self._clear(key):
                block = memoryview(obstore.get_range(self._patient, key, start=start, end=end))
            yield block

    def put(self, key: str, body: bytes, *, new: bool = False) -> str:
        """Write an object at once; returns its ETag. `new`: raises TakenError if there is one.

        Servers that do not know that condition write all the same.
        """
        with self._clear(key):
            if new:
                return self._put_new(key, body)
            return _plain(obstore.put(self._patient, key, body, use_multipart=False)["e_tag"])

    def put_parts(self, key: str, blocks: Iterable[Block], part_bytes: int) -> str:
        """Write an object in parts; returns its ETag. If `blocks` raises, nothing is written."""
        with self._clear():
            done = obstore.put(
                self._patient,
                key,
                blocks,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=CONCURRENT_PARTS,
            )
        return _plain(done["e_tag"])

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is not there is no error."""
        with self._clear():
            obstore.delete(self._quick, keys)

    def _put_new(self, key: str, body: bytes) -> str:
        try:
            return _plain(obstore.put(self._patient, key, body, mode="create")["e_tag"])
        except BaseError as error:
            if code_of(error) != "NotImplemented":
                raise
        return _plain(obstore.put(self._patient, key, body, use_multipart=False)["e_tag"])

    @contextmanager
    def _clear(self, key: str = "") -> Iterator[None]:
        # Not `from error`: the library's errors repeat the server's answer, which may hold a token.
        try:
            yield
        except AlreadyExistsError:
            raise TakenError(f"{self._told_as} has {key} already.") from None
        except FileNotFoundError as error:
            if code_of(error) in {"", "NoSuchKey"}:
                raise GoneError(f"{self._told_as} has no {key}.") from None
            raise explain(error, self._told_as) from None
        except BaseError as error:
            raise explain(error, self._told_as) from None


def _store(
    bucket: str,
    prefix: str,
    endpoint: str,
    region: str,
    credentials: Credentials,
    patience: Patience,
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
            "connect_timeout": timedelta(seconds=patience.connect),
            "timeout": timedelta(seconds=timeout_s),
        },
        retry_config={
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=patience.retry),
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


def _plain(tag: str | None) -> str:
    return (tag or "").strip('"')
