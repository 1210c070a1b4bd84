"""Faults: archives that were changed, programs that fail in a container, disks that are small."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import docker
from docker.models.containers import Container

from tests.harness.waiting import wait_until
from tests.platform.backup import SETTINGS
from tests.platform.containers import execute
from tests.platform.platform import Platform
from tests.platform.restore import RestoreError
from tests.platform.volume import LABEL, Volume, create_volume

# What becomes of a file in an archive: None removes it.
Change = Callable[[bytes], bytes | None]


def edited(archive: Path, target: Path, changes: Mapping[str, Change]) -> Path:
    """Write another archive in which some files are changed; each must be there."""
    missing = set(changes)
    with tarfile.open(archive, "r|gz") as old, tarfile.open(target, "w:gz", compresslevel=1) as new:
        for member in old:
            stream: IO[bytes] | None = old.extractfile(member) if member.isreg() else None
            if member.name in changes and stream is not None:
                missing.discard(member.name)
                content = changes[member.name](stream.read())
                if content is None:
                    continue
                member.size, stream = len(content), io.BytesIO(content)
            new.addfile(member, stream)
    assert not missing, f"not in the archive: {missing}"
    return target


def refusal(platform: Platform, archive: Path) -> str:
    """What the user reads when the platform cannot restore an archive."""
    try:
        app = platform.restore(archive)
    except RestoreError as error:
        return str(error)
    platform.remove(app)
    raise AssertionError("it was restored")


def variables(**given: str) -> dict[str, Change]:
    """Have the restored application get these variables, as if the user had set them before."""

    def change(content: bytes) -> bytes:
        document = json.loads(content)
        return json.dumps({**document, "variables": {**document["variables"], **given}}).encode()

    return {SETTINGS: change}


@contextmanager
def another_program(container: Container, name: str, does: str) -> Iterator[None]:
    """Have a shell script in the place of one of Postgres' programs; `{real}` stands for that.

    It still says its version, which other programs want to know.
    """
    place = f"/opt/appliance/postgresql/bin/{name}"
    real = f"{place}.real"
    script = f'#!/bin/sh\n[ "$*" != -V ] || exec {real} -V\n{does.replace("{real}", real)}\n'
    swap = f"mv {place} {real} && printf %s '{script}' > {place} && chmod 755 {place}"
    with broken_by(container, swap, f"mv {real} {place}"):
        yield


@contextmanager
def broken_by(container: Container, breaks: str, heals: str) -> Iterator[None]:
    """Break something in a container with a shell command; heal it with another, if it lives."""
    assert execute(container, "sh", "-c", breaks).code == 0
    try:
        yield
    finally:
        container.reload()
        assert container.status != "running" or execute(container, "sh", "-c", heals).code == 0


def new_volume(client: docker.DockerClient, volume: Volume, size: str = "") -> Volume:
    """Create it; with a size such as 400m it is a tmpfs."""
    if not size:
        return create_volume(client, volume.name, volume.secrets)
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size}"}
    client.volumes.create(volume.name, labels={LABEL: volume.label()}, driver_opts=options)
    return volume


def wait_until_inside(container: Container, text: str, timeout_s: float = 60) -> None:
    """Wait until a process with this in its command line runs in a container."""

    def runs() -> bool:
        rows: Any = container.top(ps_args="-eo pid,args")["Processes"] or []
        return any(text in row[1] for row in rows)

    wait_until(runs, f"{text} runs", timeout_s)
