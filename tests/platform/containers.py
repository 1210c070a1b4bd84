"""The containers of applications: how ONCE names, creates and finds them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import LogConfig, Mount

from tests.harness.waiting import wait_until
from tests.platform.application import Application
from tests.platform.volume import LABEL, Volume

# The first is the one that backups copy.
MOUNT_TARGETS = ("/storage", "/rails/storage")


@dataclass(frozen=True)
class Executed:
    """What a command in a container said, and its exit code."""

    code: int
    stdout: str
    stderr: str


class Containers:
    """All containers of one namespace (`once` on a real server)."""

    def __init__(self, client: docker.DockerClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def create(self, app: Application, volume: Volume) -> Container:
        """Create, not start, a container named once-app-<app>-<6 hex>."""
        return self.client.containers.create(
            app.image,
            name=f"{self.namespace}-app-{app.name}-{secrets.token_hex(3)}",
            environment=app.environment(volume.secrets),
            labels={LABEL: app.to_json()},
            mounts=volume_mounts(volume),
            network=self.namespace,
            restart_policy={"Name": "always"},
            log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "1"}),
            **app.limits(),
        )

    def create_idle(
        self,
        name: str,
        image: str,
        mounts: Sequence[Mount],
        environment: dict[str, str] | None = None,
    ) -> Container:
        """Create a container that only sleeps: restores copy and run hooks in such a one."""
        return self.client.containers.create(
            image,
            name=f"{self.namespace}-{name}",
            entrypoint=[],
            command=["sleep", "infinity"],
            environment=environment,
            mounts=list(mounts),
        )

    def of(self, app_name: str) -> list[Container]:
        """All containers of an application, running or not, newest first."""
        found = self.client.containers.list(all=True, ignore_removed=True)
        return [container for container in found if self.app_name(container.name) == app_name]

    def app_name(self, container_name: str | None) -> str:
        """The application in a container's name; empty for a container that is not one's."""
        name, prefix = container_name or "", f"{self.namespace}-app-"
        return name.removeprefix(prefix).rpartition("-")[0] if name.startswith(prefix) else ""


def volume_mounts(volume: Volume) -> list[Mount]:
    """The same volume twice."""
    return [Mount(target, volume.name, type="volume") for target in MOUNT_TARGETS]


def execute(container: Container, *command: str, user: str = "") -> Executed:
    """Run a command in a container: no shell, no terminal, the image's user, no time limit."""
    result: Any = container.exec_run(list(command), demux=True, user=user)
    stdout, stderr = (part or b"" for part in result.output)
    return Executed(
        result.exit_code, stdout.decode(errors="replace"), stderr.decode(errors="replace")
    )


def pause(container: Container) -> None:
    """Freeze every process of a container.

    With cgroups of version 1 runc gives up when one has not stopped after about a fifth of a second
    (`unable to freeze`), for which it may not even have got a processor yet: it is asked again.
    """

    def frozen() -> bool:
        try:
            container.pause()
        except APIError as error:
            if "unable to freeze" not in str(error):
                raise
            return False
        return True

    wait_until(frozen, "the container is frozen")


def remove_by_force(container: Container) -> None:
    """SIGKILL and remove; no SIGTERM."""
    try:
        container.remove(force=True)
    except NotFound:
        return
