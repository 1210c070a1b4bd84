"""The container engine and the image under test, or the reason why there is none."""

import os
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
    try:
        client = docker.from_env(timeout=180)
        client.ping()
        client.images.get(IMAGE)
    except ImageNotFound as error:
        raise NoEngineError(f"the image {IMAGE} is not built; {HOW}") from error
    except DockerException as error:
        raise NoEngineError(f"no container engine answers; {HOW}") from error
    return Engine(client, IMAGE)


def required() -> bool:
    """Whether a missing engine is a failure: in CI it is."""
    return bool(os.environ.get("CI") or os.environ.get("APPLIANCE_REQUIRE_IMAGE"))
