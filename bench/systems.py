"""What is measured, seen from outside."""

import shutil
from typing import Protocol

from appliance.storage.paths import Storage


class System(Protocol):
    """Something that answers on a port and keeps its data in a folder."""

    port: int
    storage: Storage

    def boot(self) -> dict[str, float]:
        """Start it on what the folder holds, wait for 200 on /up; seconds, by phase and total."""

    def programs(self) -> dict[str, int]:
        """The top process of each program."""

    def stop(self) -> None:
        """End it cleanly."""


def wipe(system: System) -> None:
    """Throw its data away, so that the next boot is a cold one."""
    shutil.rmtree(system.storage.root, ignore_errors=True)
