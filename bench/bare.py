"""The bare parts, as a shell script would start them: each when the one before it is ready."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.apps.books.books import BOOKS
from appliance.database import roles
from appliance.database.connect import connect
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import binaries, config
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.limits import detect
from bench.gunicorn import Gunicorn
from bench.postmaster import wait_until_ready
from bench.processes import Process, free_port, start, stop

# As appliance.postgres.cluster has them; a test compares.
INITDB_OPTIONS = (
    f"--username={config.SUPERUSER} --auth=peer --data-checksums --encoding=UTF8 "
    "--locale=C.UTF-8 --lc-collate=C --no-instructions --set=dynamic_shared_memory_type=mmap"
)


class Bare:
    """initdb, postgres, the schema and gunicorn, one after the other."""

    def __init__(self, folder: Path, app: str, environment: dict[str, str]) -> None:
        self.folder, self.storage, self.port = folder, Storage(folder / "storage"), free_port()
        self._gunicorn = Gunicorn(folder, self.storage, self.port, app, environment)
        self.users, self.resources = system_users.detect(), detect()
        self._postgres: Process | None = None

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
            self._gunicorn.start()
            self._gunicorn.wait_until_up()
        return {**phases, "total": time.perf_counter() - began}

    def programs(self) -> dict[str, int]:
        assert self._postgres is not None
        assert self._gunicorn.process is not None
        return {"postgres": self._postgres.pid, "gunicorn": self._gunicorn.process.pid}

    def stop(self) -> None:
        self._gunicorn.stop()
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
        command: list[str | Path] = [binaries.program("postgres"), "-D", self.storage.pgdata]
        log = self.folder / "postgres.log"
        self._postgres = start(command, log, {}, self.users.database)
        wait_until_ready(self.storage, self._postgres, log)
        connect(self.storage, config.SUPERUSER, database="postgres").close()

    def _apply_schema(self) -> None:
        with connect(self.storage, config.SUPERUSER, database="postgres") as superuser:
            roles.ensure(superuser)
        with connect(self.storage, config.OWNER_ROLE) as owner:
            runner.migrate(
                owner, load_tracks(BOOKS.tracks(), None), timeout_s=10, report=lambda _text: None
            )

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.users.database.uid, self.users.database.gid)


@contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    phases[name] = time.perf_counter() - began
