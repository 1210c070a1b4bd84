"""One appliance with books in it, and where everything of this part lies."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyrage

from appliance.backups.server import pg_tools
from appliance.system import system_users
from appliance.system.limits import detect
from bench.books import seed
from bench.ours import Ours

PROGRAM = Path(sys.executable).with_name("appliance")


@dataclass(frozen=True)
class Stage:
    """`ours` runs. `scratch` is a folder of the database's user; `recipient` a key of age."""

    folder: Path
    scratch: Path
    ours: Ours
    key: str
    recipient: str

    @property
    def log(self) -> Path:
        """What the measured programs say."""
        return self.folder / "backups.log"

    @property
    def environment(self) -> dict[str, str]:
        """What our commands need to know."""
        return {"STORAGE_DIR": str(self.ours.storage.root)}


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Start the appliance, with few books in it; it is stopped at the end."""
    place = folder / "backups"
    scratch = place / "scratch"
    scratch.mkdir(parents=True)
    place.chmod(0o755)
    give(scratch)
    ours = Ours(place)
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    try:
        ours.boot()
        yield Stage(place, scratch, ours, seed(ours.storage), recipient)
    finally:
        ours.stop()
        shutil.rmtree(place, ignore_errors=True)


def jobs() -> int:
    """How many processes our own dumps and restores use."""
    return pg_tools.job_count(detect())


def give(path: Path) -> None:
    """Let the database's user have it."""
    if os.geteuid() == 0:
        user = system_users.detect().database
        os.chown(path, user.uid, user.gid)


def link(source: Path, target: Path) -> None:
    """A copy of a folder that takes no room, its files with their owners."""
    subprocess.run(["cp", "-al", source, target], check=True)
