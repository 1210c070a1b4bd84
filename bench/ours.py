"""The appliance as `make up` runs it, of this checkout or of another."""

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from appliance.storage.paths import Storage
from bench import memory
from bench.processes import POLL_S, Process, free_port, kill, start, stop, wait_until_up

# What supervisord starts, whatever its module is called there. Postgres has replaced its own.
_PROGRAM = re.compile(r" -P -m appliance\.\S+ (\w+)")


def command(checkout: Path | None = None) -> Path:
    """The `appliance` of this checkout, or of another in which `make up` was run."""
    binaries = checkout / ".venv/bin" if checkout else Path(sys.executable).parent
    return binaries / "appliance"


class Ours:
    """`appliance up`, its log in a file. Two of them on one storage are two containers."""

    def __init__(
        self,
        folder: Path,
        storage: Storage | None = None,
        *,
        checkout: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.port = folder, free_port()
        self._command, self._settings = command(checkout), dict(settings or {})
        self.storage = storage or Storage(folder / "storage")
        self._process: Process | None = None

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"log-{self.port}"

    def boot(self) -> dict[str, float]:
        began = time.perf_counter()
        self.start()
        self.wait_until_up()
        return {"total": time.perf_counter() - began}

    def start(self) -> None:
        """Start it; it does not serve yet."""
        place = {"PORT": str(self.port), "STORAGE_DIR": str(self.storage.root)}
        self._process = start([self._command, "up"], self.log, {**place, **self._settings})

    def wait_until_up(self, every_s: float = POLL_S) -> None:
        """Wait for its first 200 on /up."""
        assert self._process is not None
        wait_until_up(self.port, self._process, self.log, every_s)

    def programs(self) -> dict[str, int]:
        assert self._process is not None
        found = {"supervisor": self._process.pid}
        for pid in memory.children(self._process.pid):
            command = memory.command(pid)
            name = _PROGRAM.search(command)
            found[name[1] if name else "postgres"] = pid
        return found

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)

    def kill(self) -> None:
        """End it with SIGKILL, as the platform ends a container."""
        if self._process is not None:
            kill(self._process)
