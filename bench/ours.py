"""The appliance as `make up` runs it."""

import sys
import time
from pathlib import Path

from appliance.storage import Storage
from bench import memory
from bench.processes import Process, free_port, start, stop, wait_until_up


class Ours:
    """`appliance up`, its log in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage, self.port = folder, Storage(folder / "storage"), free_port()
        self._process: Process | None = None

    def boot(self) -> dict[str, float]:
        environment = {"PORT": str(self.port), "STORAGE_DIR": str(self.storage.root)}
        log, began = self.folder / "log", time.perf_counter()
        command = Path(sys.executable).with_name("appliance")
        self._process = start([command, "up"], log, environment)
        wait_until_up(self.port, self._process, log)
        return {"total": time.perf_counter() - began}

    def programs(self) -> dict[str, int]:
        assert self._process is not None
        found = {"supervisor": self._process.pid}
        for pid in memory.children(self._process.pid):
            command = memory.command(pid)
            name = command.partition("appliance.programs ")[2].partition(" ")[0]
            # A process that is replacing itself has no command line: only the steward does that.
            found["postgres" if "/postgres -D" in command else name or "steward"] = pid
        return found

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
