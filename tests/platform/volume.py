"""The application's volume: made once; its label carries the secrets that ONCE generates."""

import base64
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

import docker
from docker.errors import NotFound

LABEL = "once"


@dataclass(frozen=True)
class Secrets:
    """What ONCE generates for an application; it lives as long as the volume."""

    secret_key_base: str
    vapid_public_key: str
    vapid_private_key: str

    @classmethod
    def generate(cls) -> "Secrets":
        """64 hex digits, and two keys that are as long as the real ones."""
        return cls(
            secrets.token_hex(32),
            _unpadded(b"\x04" + secrets.token_bytes(64)),
            _unpadded(secrets.token_bytes(32)),
        )

    def environment(self) -> dict[str, str]:
        """The three variables that every container gets."""
        return {name.upper(): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Volume:
    """A Docker volume with its secrets."""

    name: str
    secrets: Secrets

    def label(self) -> str:
        """The text of the label."""
        return json.dumps(asdict(self.secrets))


def find_volume(client: docker.DockerClient, name: str) -> Volume | None:
    """Return the volume of this name, or None."""
    try:
        volume: Any = client.volumes.get(name)
    except NotFound:
        return None
    return Volume(name, Secrets(**json.loads(volume.attrs["Labels"][LABEL])))


def create_volume(client: docker.DockerClient, name: str, kept: Secrets | None = None) -> Volume:
    """Create it, with new secrets or with those of a backup."""
    volume = Volume(name, kept or Secrets.generate())
    client.volumes.create(name, labels={LABEL: volume.label()})
    return volume


def destroy_volume(client: docker.DockerClient, name: str) -> None:
    """Remove it by force, if it exists."""
    try:
        client.volumes.get(name).remove(force=True)
    except NotFound:
        return


def _unpadded(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()
