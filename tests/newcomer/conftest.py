"""Fixtures: a container of a minimal system that nobody has prepared."""

import os
from collections.abc import Callable, Iterator

import docker
import pytest
from docker.models.containers import Container
from docker.types import Mount

from tests.harness.fast import skip_if_fast
from tests.image.engine import NoEngineError, connect, required
from tests.newcomer.newcomer import Newcomer
from tests.platform.containers import remove_by_force

Arrive = Callable[[str, str], Newcomer]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """The engine; each command in a container may take ten minutes."""
    skip_if_fast()
    try:
        client = connect(timeout_s=600)
    except NoEngineError as error:
        raise _missing(str(error)) from error
    yield client
    client.close()


@pytest.fixture
def arrive(client: docker.DockerClient) -> Iterator[Arrive]:
    """Let a user arrive at a system; its container is removed at the end."""
    made: list[Container] = []

    def arrive(suite: str, user: str) -> Newcomer:
        made.append(_start(client, _image(client, suite)))
        return Newcomer(made[-1], user)

    yield arrive
    for container in made:
        remove_by_force(container)


def _image(client: docker.DockerClient, suite: str) -> str:
    """The one that `make image` builds upon: Debian's own, or the one made from its packages."""
    for image in (f"debian:{suite}-slim", f"appliance-base:{suite}"):
        if client.images.list(image):
            return image
    raise _missing(f"no image of {suite}; run: scripts/with-engine scripts/base-image {suite}")


def _start(client: docker.DockerClient, image: str) -> Container:
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


def _missing(reason: str) -> BaseException:
    """A failure where the engine is required, as in CI; otherwise a test that is skipped."""
    return AssertionError(reason) if required() else pytest.skip.Exception(reason)
