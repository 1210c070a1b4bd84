"""Fixtures: a container of a minimal system that nobody has prepared."""

import os
from collections.abc import Callable, Iterator

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from docker.types import Mount

from tests.image.engine import required
from tests.newcomer.newcomer import Newcomer
from tests.platform.containers import remove_by_force

Arrive = Callable[[str, str], Newcomer]


@pytest.fixture
def arrive() -> Iterator[Arrive]:
    """Let a user arrive at a system; its container is removed at the end."""
    made: list[Container] = []

    def arrive(suite: str, user: str) -> Newcomer:
        made.append(_start(suite))
        return Newcomer(made[-1], user)

    yield arrive
    for container in made:
        remove_by_force(container)


def _start(suite: str) -> Container:
    try:
        client = docker.from_env(timeout=1000)
        image = _image(client, suite)
    except DockerException as error:
        reason = f"no image of {suite}; run: scripts/with-engine scripts/base-image {suite}"
        if required():
            raise AssertionError(reason) from error
        pytest.skip(reason)
    # It trusts the authorities that this machine trusts, as the build of the image does.
    authorities = os.environ.get("PIP_CERT")
    return client.containers.run(
        image,
        ["sleep", "infinity"],
        detach=True,
        init=True,
        environment={"PIP_CERT": "/authorities.crt"} if authorities else {},
        mounts=[Mount("/authorities.crt", authorities, "bind", True)] if authorities else [],
    )


def _image(client: docker.DockerClient, suite: str) -> str:
    """The one that `make image` builds upon: Debian's own, or the one made from its packages."""
    for image in (f"debian:{suite}-slim", f"appliance-base:{suite}"):
        if client.images.list(image):
            return image
    raise ImageNotFound(suite)
