"""The container engine and the image under test, or the reason why there is none."""

import os
import socket
from dataclasses import dataclass

import docker
from docker.errors import DockerException, ImageNotFound

IMAGE = os.environ.get("APPLIANCE_IMAGE", "appliance:latest")
HOW = "run: scripts/with-engine bash -c 'make image && make test'"


class NoEngineError(Exception):
    """The image tests cannot run here."""


@dataclass(frozen=True)
class Engine:
    """A client, and the image's name."""

    client: docker.DockerClient
    image: str


def find() -> Engine:
    """Connect to the engine that DOCKER_HOST names and look for the image."""
    client = connect()
    try:
        client.images.get(IMAGE)
    except ImageNotFound as error:
        raise NoEngineError(f"the image {IMAGE} is not built; {HOW}") from error
    return Engine(client, IMAGE)


def connect(timeout_s: int = 180) -> docker.DockerClient:
    """Connect to the engine, where one listens; raises NoEngineError."""
    try:
        if not _listens(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")):
            raise NoEngineError(f"no container engine listens; {HOW}")
        return docker.from_env(timeout=timeout_s)
    except DockerException as error:
        raise NoEngineError(f"no container engine answers; {HOW}") from error


def _listens(address: str) -> bool:
    # The client leaves a socket open that found nobody, and Python warns about it much later.
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("unix://")) == 0


def required() -> bool:
    """Whether a missing engine is a failure: in CI it is."""
    return bool(os.environ.get("CI") or os.environ.get("APPLIANCE_REQUIRE_IMAGE"))
