"""ONCE's verbs: deploy, update, stop, start, backup, restore, remove."""

import secrets
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.platform import backup, restore
from tests.platform.application import Application
from tests.platform.containers import Containers, remove_by_force
from tests.platform.proxy import NotHealthyError, Proxy
from tests.platform.target import Target
from tests.platform.volume import Volume, create_volume, destroy_volume, find_volume


class DeployError(Exception):
    """The new container never became healthy. It is gone; `logs` are what a user never sees."""

    def __init__(self, reason: str, logs: str) -> None:
        super().__init__(f"{reason}; the container said:\n{logs}")
        self.logs = logs


class Platform:
    """A server with ONCE on it. `namespace` keeps parallel tests apart; ONCE's own is `once`."""

    def __init__(self, client: docker.DockerClient, namespace: str = "once") -> None:
        self.client = client
        self.containers = Containers(client, namespace)
        self._proxies: dict[str, Proxy] = {}
        if not client.networks.list(names=[f"^{namespace}$"]):
            client.networks.create(namespace, driver="bridge")

    def deploy(self, app: Application, deploy_timeout_s: float = 120) -> Container:
        """Put the application on the server; a first deploy that fails takes the volume along."""
        first = find_volume(self.client, self.volume_name(app)) is None
        try:
            return self._deploy_with(app, self.volume(app), deploy_timeout_s)
        except DeployError:
            if first:
                self.remove(app)
            raise

    def update(self, app: Application, deploy_timeout_s: float = 120) -> Container:
        """Put a new container beside the running one, switch, drain, kill the old one."""
        return self._deploy_with(app, self.volume(app), deploy_timeout_s)

    def stop(self, app: Application) -> None:
        """SIGTERM, then SIGKILL after Docker's default 10 seconds."""
        self.container(app).stop()

    def start(self, app: Application) -> None:
        """Start the stopped container."""
        self.container(app).start()

    def backup(self, app: Application, path: Path) -> None:
        """Write the backup archive to `path`."""
        backup.write(self.container(app), app, self.volume(app), path)

    def restore(self, path: Path, image: str = "") -> Application:
        """Restore into a new application; `image` stands for what the tag means today."""
        with restore.reading(path) as (original, kept, data):
            name = f"{original.name}-{secrets.token_hex(3)}"
            app = restore.renamed(original, name, image or original.image)
            volume = create_volume(self.client, self.volume_name(app), kept)
            try:
                restore.populate(self.containers, app, volume, data)
                restore.run_hook(self.containers, app, volume)
                self._deploy_with(app, volume, 120)
            except BaseException:
                self.remove(app)
                raise
        return app

    def remove(self, app: Application, keep_data: bool = False) -> None:
        """Remove every container by force, and the volume."""
        if proxy := self._proxies.pop(app.name, None):
            proxy.close()
        for container in self.containers.of(app.name):
            remove_by_force(container)
        if not keep_data:
            destroy_volume(self.client, self.volume_name(app))

    def proxy(self, app: Application) -> Proxy:
        """The front door of an application; it stays the same over updates."""
        if app.name not in self._proxies:
            self._proxies[app.name] = Proxy(forward_headers=not app.tls)
        return self._proxies[app.name]

    def container(self, app: Application) -> Container:
        """The application's container: the first in Docker's list, as ONCE takes it."""
        return self.containers.of(app.name)[0]

    def volume(self, app: Application) -> Volume:
        """The application's volume; made on first use."""
        name = self.volume_name(app)
        return find_volume(self.client, name) or create_volume(self.client, name)

    def volume_name(self, app: Application) -> str:
        """once-app-<app>"""
        return f"{self.containers.namespace}-app-{app.name}"

    def _deploy_with(self, app: Application, volume: Volume, timeout_s: float) -> Container:
        container = self.containers.create(app, volume)
        container.start()
        try:
            self.proxy(app).deploy(Target(container), timeout_s)
        except NotHealthyError as error:
            logs = container.logs().decode(errors="replace")
            remove_by_force(container)
            raise DeployError(str(error), logs) from error
        for other in self.containers.of(app.name):
            if other.id != container.id:
                remove_by_force(other)
        return container
