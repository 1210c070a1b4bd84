"""An appliance in a container of the platform: asked through the proxy, broken from outside."""

from pathlib import Path
from typing import Any

import requests
from docker.errors import NotFound
from docker.models.containers import Container

from tests.harness.processes import Process, in_container
from tests.harness.waiting import wait_until
from tests.harness.watching import is_postmaster
from tests.platform import Application, Platform
from tests.platform.containers import Executed, execute

PSQL = "/opt/appliance/postgresql/bin/psql"
POSTMASTER = "/opt/appliance/postgresql/bin/postgres -D"


class Contained:
    """One deployed application."""

    def __init__(self, platform: Platform, app: Application) -> None:
        self.platform = platform
        self.app = app
        self._key: str | None = None

    @property
    def url(self) -> str:
        """The front door: the proxy."""
        return self.platform.proxy(self.app).url

    @property
    def container(self) -> Container:
        """The newest container."""
        return self.platform.container(self.app)

    @property
    def log(self) -> str:
        """What the container printed."""
        return self.container.logs().decode(errors="replace")

    def key(self) -> str:
        """An API key, made once with the command in the container."""
        if self._key is None:
            self._key = self.run("keys", "create", "tests").stdout.splitlines()[-1]
        return self._key

    @property
    def pgdata(self) -> Path:
        """The cluster, seen from the host."""
        volume = self.platform.client.volumes.get(self.platform.volume_name(self.app))
        return Path(volume.attrs["Mountpoint"]) / "pgdata"

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """An authenticated request."""
        headers = {"Authorization": f"Bearer {self.key()}", **arguments.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **arguments)

    def run(self, *arguments: str) -> Executed:
        """Run an `appliance` command in the container."""
        result = execute(self.container, "appliance", *arguments)
        assert result.code == 0, result
        return result

    def sql(self, *statements: str, role: str = "postgres") -> str:
        """Run statements, each in a transaction of its own, and return what psql prints."""
        commands = [word for statement in statements for word in ("-c", statement)]
        where = ("-h", "/storage/run", "-d", "appliance", "-U", role)
        # `appliance psql` does the same, and starts a Python for it.
        result = execute(self.container, PSQL, *where, "-XAtq", *commands)
        assert result.code == 0, result
        return result.stdout.strip()

    def kill_everything(self) -> None:
        """SIGKILL the whole container."""
        self.container.kill()

    def start(self) -> "Contained":
        """Start the container again."""
        self.platform.start(self.app)
        return self

    def wait_until_up(self) -> "Contained":
        """Wait for 200 on /up through the proxy."""
        wait_until(self.is_up, "200 on /up", 60)
        return self

    def is_up(self) -> bool:
        """Whether /up answers 200 now."""
        return requests.get(f"{self.url}/up", timeout=35).status_code == 200

    def processes(self) -> list[Process]:
        """Its processes."""
        return processes(self.container)

    def find(self, text: str) -> Process:
        """The first process whose command line contains `text`."""
        return next(process for process in self.processes() if text in process.command)


def processes(container: Container) -> list[Process]:
    """The processes of a container, as the host sees them, process 1 first; none if it is over.

    The engine could list them, at the price of a program for each look.
    """
    try:
        container.reload()
    except NotFound:
        return []
    first = int(container.attrs["State"]["Pid"])
    return in_container(first) if first else []


def postmasters(container: Container) -> list[Process]:
    """The postmasters in a container."""
    return [process for process in processes(container) if is_postmaster(process)]
