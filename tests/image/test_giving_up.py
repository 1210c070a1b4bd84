"""What cannot be kept running ends the container, and the log says why."""

from collections.abc import Iterator

import pytest
from docker.models.containers import Container
from docker.models.volumes import Volume

from tests.harness.waiting import wait_until
from tests.image.conftest import Deploy
from tests.image.engine import Engine
from tests.platform import Application, DeployError, Platform
from tests.platform.containers import remove_by_force, volume_mounts


@pytest.fixture
def foreign_cluster(platform: Platform, engine: Engine) -> Iterator[Application]:
    """An application whose volume holds a cluster of Postgres 15."""
    app = Application("test-foreign-cluster", engine.image)
    script = "mkdir -p /storage/pgdata && echo 15 > /storage/pgdata/PG_VERSION && ls -lR /storage"
    container = engine.client.containers.create(
        engine.image, ["sh", "-c", script], mounts=volume_mounts(platform.volume(app))
    )
    container.start()
    assert container.wait()["StatusCode"] == 0
    remove_by_force(container)
    yield app
    platform.remove(app)


def test_a_cluster_of_another_version_is_refused_and_left_alone(
    platform: Platform, foreign_cluster: Application
) -> None:
    with pytest.raises(DeployError) as failure:
        platform.deploy(foreign_cluster, deploy_timeout_s=8)
    assert "15" in failure.value.logs
    assert "cannot be kept running; stopping everything" in failure.value.logs
    assert platform.volume_name(foreign_cluster) in names_of_volumes(platform)


def test_the_platform_restarts_a_container_that_gave_up(
    platform: Platform, foreign_cluster: Application
) -> None:
    container = platform.containers.create(foreign_cluster, platform.volume(foreign_cluster))
    container.start()
    wait_until(lambda: restarts(container) > 0, "a restart", 60)
    assert container.attrs["State"]["ExitCode"] != 0 or container.attrs["State"]["Running"]


def test_a_first_deploy_that_fails_takes_its_volume_along(
    platform: Platform, engine: Engine, deploy: Deploy
) -> None:
    app = Application("test-never-healthy", engine.image, variables={"PORT": "81"})
    with pytest.raises(DeployError):
        platform.deploy(app, deploy_timeout_s=3)
    assert platform.volume_name(app) not in names_of_volumes(platform)


def restarts(container: Container) -> int:
    """How often the engine started it again."""
    container.reload()
    return int(container.attrs["RestartCount"])


def names_of_volumes(platform: Platform) -> set[str | None]:
    """The names of all volumes."""
    volumes: list[Volume] = platform.client.volumes.list()
    return {volume.name for volume in volumes}
