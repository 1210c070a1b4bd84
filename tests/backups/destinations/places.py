"""One handle for what lies in a destination, whatever it is made of: to look, and to break it."""

import secrets
import shutil
from pathlib import Path
from typing import Any, Protocol

from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from tests.backups.destinations.servers import BUCKET, Server


class Place(Protocol):
    """A destination of its own for a test, and its content by key, past the destination."""

    destination: Destination
    # What a child process needs to open it too.
    spec: dict[str, Any]

    def keys(self) -> set[str]:
        """Everything there."""

    def write(self, key: str, content: bytes) -> None:
        """Make or replace something."""

    def remove(self, key: str) -> None:
        """Take something away."""


class FolderPlace:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.destination: Destination = FolderDestination("local", path)
        self.spec = {"path": str(path)}

    def keys(self) -> set[str]:
        """Every file."""
        found = (path for path in self.path.rglob("*") if path.is_file())
        return {path.relative_to(self.path).as_posix() for path in found}

    def write(self, key: str, content: bytes) -> None:
        """Make or replace a file."""
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        (self.path / key).write_bytes(content)

    def remove(self, key: str) -> None:
        """Remove a file or a folder."""
        path = self.path / key
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class BucketPlace:
    """A prefix of its own in a server's bucket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.prefix = f"tests/{secrets.token_hex(4)}"
        self.destination: Destination = server.destination(self.prefix)
        keys = {"key": server.owner.access_key_id, "secret": server.owner.secret_access_key}
        self.spec = {"endpoint": server.endpoint, "prefix": self.prefix, **keys}

    def keys(self) -> set[str]:
        """Every object."""
        pages = self.server.raw.get_paginator("list_objects_v2")
        return {
            entry["Key"].removeprefix(f"{self.prefix}/")
            for page in pages.paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/")
            for entry in page.get("Contents", [])
        }

    def write(self, key: str, content: bytes) -> None:
        """Make or replace an object."""
        self.server.raw.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=content)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.server.raw.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")
