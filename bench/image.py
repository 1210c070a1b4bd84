"""The image's size, if there is an engine and an image."""

import zlib
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound

from bench.figures import Aim, Figure

_GZIP = 31
_LEVEL = 6


def figures(name: str) -> list[Figure]:
    """Unpacked and compressed with gzip, in MB; raises LookupError with the reason if not."""
    try:
        client = docker.from_env(timeout=120)
        image = client.images.get(name)
        unpacked = image.attrs["Size"] / 1e6
        compressed = sum(map(len, packed(image))) / 1e6
    except ImageNotFound as error:
        raise LookupError(f"no image {name}: make image") from error
    except DockerException as error:
        raise LookupError("no engine") from error
    return [
        Figure("image, unpacked", "MB", (unpacked,), aim=Aim("<=", 200)),
        Figure("image, gzip", "MB", (compressed,), aim=Aim("<=", 75)),
    ]


def packed(image: Any) -> Iterator[bytes]:
    """The saved image through gzip, piece by piece."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    for piece in image.save():
        yield packer.compress(piece)
    yield packer.flush()
