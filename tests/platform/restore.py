"""ONCE's restore: a new volume, filled in one idle container, the hook run in another."""

import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import Mount

from tests.platform.application import Application
from tests.platform.archive import DATA
from tests.platform.backup import SECRETS, SETTINGS
from tests.platform.containers import Containers, execute, remove_by_force, volume_mounts
from tests.platform.volume import Secrets, Volume

HOOK = "/hooks/post-restore"


class RestoreError(Exception):
    """The hook failed; its standard error is all that the user sees."""


@contextmanager
def reading(path: Path) -> Iterator[tuple[Application, Secrets, IO[bytes]]]:
    """Take an archive apart: the settings, the secrets, and a tar of `data/`.

    All of it is read before anything else is done, as ONCE does; ONCE keeps it in memory.
    """
    texts = {}
    with tempfile.TemporaryFile(dir=path.parent) as data:
        with tarfile.open(path, "r|gz") as source, tarfile.open(fileobj=data, mode="w|") as target:
            for member in source:
                content = source.extractfile(member) if member.isreg() else None
                if member.name in {SETTINGS, SECRETS} and content:
                    texts[member.name] = content.read().decode()
                elif member.name == DATA or member.name.startswith(f"{DATA}/"):
                    target.addfile(member, content)
        data.seek(0)
        app, secrets = texts[SETTINGS], json.loads(texts[SECRETS])
        yield Application.from_json(app), Secrets(**secrets), data


def renamed(app: Application, name: str, image: str) -> Application:
    """The application under its new name; its image may be newer than the data."""
    return replace(app, name=name, image=image)


def populate(containers: Containers, app: Application, volume: Volume, data: IO[bytes]) -> None:
    """Copy the archive into the volume, in a container that has it at /data only."""
    mount = Mount(f"/{DATA}", volume.name, type="volume")
    with idle(containers.create_idle("restore-temp", app.image, [mount])) as container:
        container.put_archive("/", data)


def run_hook(containers: Containers, app: Application, volume: Volume) -> None:
    """Run the hook with the app's environment: no supervisor and no Postgres is there."""
    created = containers.create_idle(
        "restore-hook-temp", app.image, volume_mounts(volume), app.environment(volume.secrets)
    )
    with idle(created) as container:
        if not has_hook(container):
            return
        result = execute(container, HOOK)
        if result.code != 0:
            raise RestoreError(f"post-restore failed with exit code {result.code}: {result.stderr}")


def has_hook(container: Container) -> bool:
    """Whether the image has a post-restore hook."""
    try:
        container.get_archive(HOOK)[0].close()  # type: ignore[attr-defined]  # a generator
    except NotFound:
        return False
    return True


@contextmanager
def idle(container: Container) -> Iterator[Container]:
    """Start it; at the end SIGKILL and remove it."""
    try:
        container.start()
        yield container
    finally:
        remove_by_force(container)
