"""ONCE's backup: the hook, or else the pause; then a copy of /storage."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from tests.platform import archive
from tests.platform.application import Application
from tests.platform.containers import MOUNT_TARGETS, execute, pause
from tests.platform.volume import Volume

HOOK = "/hooks/pre-backup"
SETTINGS = "once.application.json"
SECRETS = "once.volume.json"


def write(container: Container, app: Application, volume: Volume, path: Path) -> None:
    """Write the archive; what is half written is removed."""
    succeeded = run_hook(container)
    try:
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as target:
            archive.add_text(target, SETTINGS, app.to_json())
            archive.add_text(target, SECRETS, volume.label())
            with paused(container, needed=not succeeded):
                copy_storage(container, target)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def run_hook(container: Container) -> bool:
    """Whether the hook is there and succeeded. A failure only means that a pause is needed."""
    try:
        container.get_archive(HOOK)[0].close()  # type: ignore[attr-defined]  # a generator
    except NotFound:
        return False
    try:
        return execute(container, HOOK).code == 0
    except APIError:
        return False


@contextmanager
def paused(container: Container, needed: bool) -> Iterator[None]:
    """Pause while the storage is copied; a container that does not run needs none."""
    container.reload()
    needed = needed and container.status in {"running", "paused"}
    if needed:
        pause(container)
    try:
        yield
    finally:
        if needed:
            container.unpause()


def copy_storage(container: Container, target: tarfile.TarFile) -> None:
    """Copy /storage as Docker gives it: sockets left out, numeric owners, whole seconds."""
    chunks, _ = container.get_archive(MOUNT_TARGETS[0])
    source = io.BufferedReader(cast("io.RawIOBase", archive.Stream(chunks)), 1024 * 1024)
    archive.copy_entries(source, target, Path(MOUNT_TARGETS[0]).name)
