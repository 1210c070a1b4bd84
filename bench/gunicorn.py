"""Plain gunicorn with an app: its own worker, our settings for workers, threads and keep-alive."""

import sys
from pathlib import Path

from appliance.api import gunicorn_server
from appliance.api.gunicorn_server import concurrency
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.limits import detect
from bench.processes import POLL_S, Process, start, stop, wait_until_up

# gunicorn's settings that bare parts would have too: those that decide about speed and memory.
_SHARED_OPTIONS = (
    "workers threads worker_connections preload_app keepalive graceful_timeout timeout "
    "control_socket_disable worker_tmp_dir"
).split()


class Gunicorn:
    """It on a port, serving from the Postgres behind a storage's socket."""

    def __init__(
        self, folder: Path, storage: Storage, port: int, app: str, environment: dict[str, str]
    ) -> None:
        self.folder, self.storage, self.port = folder, storage, port
        self.app, self.environment = app, environment
        self.process: Process | None = None

    @property
    def _log(self) -> Path:
        return self.folder / "gunicorn.log"

    def start(self) -> None:
        """Start it; it does not serve yet."""
        settings = self.folder / "gunicorn.conf.py"
        settings.write_text(self._settings())
        environment = {
            "BARE_STORAGE": str(self.storage.root),
            "BARE_SOCKET_DIR": str(self.storage.run),
            **self.environment,
        }
        command = [sys.executable, "-P", "-m", "gunicorn", "-c", str(settings), self.app]
        self.process = start(command, self._log, environment, system_users.detect().api)

    def wait_until_up(self, every_s: float = POLL_S) -> None:
        """Wait for its first 200 on /up."""
        assert self.process is not None
        wait_until_up(self.port, self.process, self._log, every_s)

    def stop(self) -> None:
        """End it cleanly."""
        if self.process is not None:
            stop(self.process)

    def _settings(self) -> str:
        workers, threads = concurrency(Settings(), detect())
        ours = gunicorn_server.options(0, workers, threads)
        options = {name: ours[name] for name in _SHARED_OPTIONS}
        options |= {"bind": f"[::]:{self.port}", "worker_class": "gthread", "loglevel": "warning"}
        return "".join(f"{name} = {value!r}\n" for name, value in options.items())
