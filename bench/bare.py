"""The bare parts, as a shell script would start them: each when the one before it is ready."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from appliance import identities
from appliance.api import server
from appliance.api.program import concurrency
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import binaries, config, roles
from appliance.postgres.connect import connect
from appliance.resources import detect
from appliance.settings import Settings
from appliance.storage import Storage
from bench.processes import Process, free_port, start, stop, wait_until, wait_until_up

# As appliance.postgres.cluster has them; a test compares.
INITDB_OPTIONS = (
    f"--username={config.SUPERUSER} --auth=peer --data-checksums --encoding=UTF8 "
    "--locale=C.UTF-8 --lc-collate=C --no-instructions --set=dynamic_shared_memory_type=mmap"
)
# gunicorn's settings that bare parts would have too: those that decide about speed and memory.
_SHARED_OPTIONS = (
    "workers threads worker_connections preload_app keepalive graceful_timeout timeout "
    "control_socket_disable worker_tmp_dir"
).split()


class Bare:
    """initdb, postgres, the schema and gunicorn, one after the other."""

    def __init__(self, folder: Path, app: str, environment: dict[str, str]) -> None:
        self.folder, self.storage, self.port = folder, Storage(folder / "storage"), free_port()
        self.app, self.environment = app, environment
        self.users, self.resources = identities.detect(), detect()
        self._postgres: Process | None = None
        self._gunicorn: Process | None = None

    def boot(self) -> dict[str, float]:
        phases: dict[str, float] = {}
        began = time.perf_counter()
        if fresh := not self.storage.pgdata.exists():
            with _timed(phases, "initdb"):
                self._initdb()
        with _timed(phases, "postgres"):
            self._start_postgres()
        if fresh:
            with _timed(phases, "schema"):
                self._apply_schema()
        with _timed(phases, "gunicorn"):
            self._start_gunicorn()
        return {**phases, "total": time.perf_counter() - began}

    def programs(self) -> dict[str, int]:
        assert self._postgres is not None
        assert self._gunicorn is not None
        return {"postgres": self._postgres.pid, "gunicorn": self._gunicorn.pid}

    def stop(self) -> None:
        if self._gunicorn is not None:
            stop(self._gunicorn)
        if self._postgres is not None:
            stop(self._postgres, signal.SIGINT)

    def _initdb(self) -> None:
        user, pgdata = self.users.database, self.storage.pgdata
        for folder in (self.storage.root, self.storage.run, pgdata):
            folder.mkdir()
            self._give(folder)
        pgdata.chmod(0o700)
        initdb, log = binaries.program("initdb"), self.folder / "initdb.log"
        process = start([initdb, f"--pgdata={pgdata}", *INITDB_OPTIONS.split()], log, {}, user)
        if process.wait() != 0:
            raise SystemExit(log.read_text())
        names = (self.users.database.name, self.users.api.name)
        for name, content in {
            "postgresql.conf": config.postgresql_conf(self.resources, self.storage.run),
            "pg_hba.conf": config.HBA,
            "pg_ident.conf": config.ident_conf(*names),
        }.items():
            (pgdata / name).write_text(content)

    def _start_postgres(self) -> None:
        command = [binaries.program("postgres"), "-D", self.storage.pgdata]
        log = self.folder / "postgres.log"
        self._postgres = start(command, log, {}, self.users.database)
        wait_until(self._superuser, self._postgres, log).close()

    def _superuser(self) -> "psycopg.Connection[tuple[object, ...]] | None":
        try:
            return connect(self.storage, config.SUPERUSER, database="postgres")
        except psycopg.OperationalError:
            return None

    def _apply_schema(self) -> None:
        with connect(self.storage, config.SUPERUSER, database="postgres") as superuser:
            roles.ensure(superuser)
        with connect(self.storage, config.OWNER_ROLE) as owner:
            runner.migrate(owner, load_tracks(None), timeout_s=10, report=lambda _text: None)

    def _start_gunicorn(self) -> None:
        settings, log = self.folder / "gunicorn.conf.py", self.folder / "gunicorn.log"
        settings.write_text(self._gunicorn_settings())
        environment = {
            "BARE_STORAGE": str(self.storage.root),
            "BARE_SOCKET_DIR": str(self.storage.run),
            **self.environment,
        }
        command = [sys.executable, "-P", "-m", "gunicorn", "-c", str(settings), self.app]
        self._gunicorn = start(command, log, environment, self.users.api)
        wait_until_up(self.port, self._gunicorn, log)

    def _gunicorn_settings(self) -> str:
        workers, threads = concurrency(Settings(), self.resources)
        ours = server.options(0, workers, threads)
        options = {name: ours[name] for name in _SHARED_OPTIONS}
        options |= {"bind": f"[::]:{self.port}", "worker_class": "gthread", "loglevel": "warning"}
        return "".join(f"{name} = {value!r}\n" for name, value in options.items())

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.users.database.uid, self.users.database.gid)


@contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    phases[name] = time.perf_counter() - began
