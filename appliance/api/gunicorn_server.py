"""gunicorn, embedded, and set for a proxy that keeps its connections for ever."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from appliance.api.gunicorn_worker import Logger, Worker
from appliance.settings import Settings
from appliance.system.limits import ResourceLimits

GRACEFUL_TIMEOUT_S = 3
# kamal-proxy never closes an idle upstream connection; whoever closes first risks a lost POST.
KEEP_ALIVE_S = 7 * 24 * 3600
# When a worker holds this many it answers new ones with `Connection: close`, and serves on.
CONNECTIONS_PER_WORKER = 1000

_SMALL_MIB = 512
_HEARTBEATS = Path("/dev/shm")  # noqa: S108 - gunicorn makes its own file there, and unlinks it


def serve(
    application_factory: Callable[[], Any], listener_fd: int, workers: int, threads: int
) -> None:
    """Serve on a listening socket until SIGTERM; gunicorn owns and closes the descriptor.

    The app is made once, before the workers are forked, so they share its memory.
    """
    _Server(application_factory, options(listener_fd, workers, threads)).run()


def concurrency(settings: Settings, resources: ResourceLimits) -> tuple[int, int]:
    """Worker processes and threads in each, as memory and CPUs allow unless they are set."""
    workers = settings.web_workers or resources.api_workers
    threads = settings.web_threads or (16 if resources.memory_mib < _SMALL_MIB else 32)
    return workers, threads


def options(listener_fd: int, workers: int, threads: int) -> dict[str, Any]:
    """gunicorn's settings."""
    return {
        "bind": f"fd://{listener_fd}",
        "workers": workers,
        "threads": threads,
        "worker_class": Worker,
        "worker_connections": CONNECTIONS_PER_WORKER,
        "preload_app": True,
        "keepalive": KEEP_ALIVE_S,
        "graceful_timeout": GRACEFUL_TIMEOUT_S,
        # ONCE pauses containers for as long as a backup takes. With a timeout the workers would
        # be killed on waking up, and with them the requests that were paused.
        "timeout": 0,
        "limit_request_line": 4094,
        "limit_request_fields": 64,
        "limit_request_field_size": 8190,
        # Nobody may rewrite the scheme or the path: there are no headers for it. So it does not
        # matter who is trusted with them, and no peer's address is parsed to find out.
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "forwarded_allow_ips": "*",
        "logger_class": Logger,
        "loglevel": "warning",
        "control_socket_disable": True,
        "worker_tmp_dir": _heartbeats(),
        "pre_fork": _before_fork,
    }


class _Server(BaseApplication):  # type: ignore[misc]  # it has no types
    def __init__(self, application_factory: Callable[[], Any], options: dict[str, Any]) -> None:
        self._factory = application_factory
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        # It would look each up in two steps, some twenty times in a request.
        values = {name: setting.get() for name, setting in self.cfg.settings.items()}
        self.cfg.__dict__.update(values)

    def load(self) -> Any:
        return self._factory()


def _heartbeats() -> str | None:
    """Memory for the workers' heartbeat files, so that a busy disk cannot stop a worker."""
    usable = _HEARTBEATS.is_dir() and os.access(_HEARTBEATS, os.W_OK | os.X_OK)
    return str(_HEARTBEATS) if usable else None


def _before_fork(_arbiter: Any, _worker: Any) -> None:
    # What is frozen is not touched by the collector, so the workers' pages stay shared. To collect
    # before takes a tenth of the start, for the little that loading the app leaves behind.
    gc.freeze()
    gc.enable()
