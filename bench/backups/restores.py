"""Restoring: our hook on a storage without a cluster, and what pg_restore alone needs for it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.backups.create import dump
from appliance.backups.format import manifest as manifests
from appliance.backups.server import pg_tools
from appliance.postgres import binaries, config
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.limits import detect
from bench.backups import programs
from bench.backups.programs import Sample, measured
from bench.backups.stage import PROGRAM, Stage, give, jobs, link
from bench.bare import INITDB_OPTIONS
from bench.processes import Process, start
from bench.redeploy.bare_cluster import BareCluster


def prepare(stage: Stage) -> None:
    """Have `pre-backup` make the dump that all restores are made from."""
    shutil.rmtree(_dump(stage), ignore_errors=True)
    programs.run([PROGRAM, "hook", "pre-backup"], stage.log, environment=stage.environment)
    link(stage.ours.storage.hook_backup, _dump(stage))


def ours(stage: Stage) -> Sample:
    """`hooks/post-restore` on a storage that holds the dump."""
    with restorable(stage) as storage, measured() as sample:
        programs.finish(begin(stage, storage), stage.log)
    return sample


def plain(stage: Stage) -> Sample:
    """initdb, Postgres with our configuration, roles, createdb, pg_restore, and a clean stop."""
    with _empty(stage) as storage, measured() as sample:
        _initdb(stage, storage)
        cluster = BareCluster(stage.folder, storage)
        try:
            cluster.start()
            _load(stage, storage)
        finally:
            cluster.stop()
    return sample


@contextmanager
def restorable(stage: Stage) -> Iterator[Storage]:
    """A copy of the storage, as it is on a new machine."""
    with _empty(stage) as storage:
        storage.backups.mkdir()
        give(storage.backups)
        link(_dump(stage), storage.hook_backup)
        yield storage


def begin(stage: Stage, storage: Storage) -> Process:
    """Start our restore."""
    environment = {"STORAGE_DIR": str(storage.root)}
    return start([PROGRAM, "hook", "post-restore"], stage.log, environment)


@contextmanager
def _empty(stage: Stage) -> Iterator[Storage]:
    storage = Storage(stage.folder / "restored")
    for path in (storage.root, storage.run):
        path.mkdir()
        give(path)
    try:
        yield storage
    finally:
        shutil.rmtree(storage.root)


def _initdb(stage: Stage, storage: Storage) -> None:
    users = system_users.detect()
    storage.pgdata.mkdir(mode=0o700)
    give(storage.pgdata)
    command: list[str | Path] = [
        binaries.program("initdb"),
        f"--pgdata={storage.pgdata}",
        *INITDB_OPTIONS.split(),
    ]
    programs.run(command, stage.log, users.database)
    for name, content in {
        "postgresql.conf": config.postgresql_conf(detect(), storage.run),
        "pg_hba.conf": config.HBA,
        "pg_ident.conf": config.ident_conf(users.database.name, users.api.name),
    }.items():
        (storage.pgdata / name).write_text(content)


def _load(stage: Stage, storage: Storage) -> None:
    manifest = manifests.read(_dump(stage))
    _client(stage, storage, "psql", "-q", "-d", "postgres", "-f", _dump(stage) / dump.ROLES_FILE)
    for database in manifest.databases:
        if database.name != "postgres":
            owner = ("-O", database.properties["owner"], "-T", "template0")
            _client(stage, storage, "createdb", *owner, database.name)
        archive = _dump(stage) / dump.DATABASES_FOLDER / pg_tools.dump_name(database.name)
        _client(stage, storage, "pg_restore", "-j", str(jobs()), "-d", database.name, archive)


def _client(stage: Stage, storage: Storage, program: str, *words: str | Path) -> None:
    where: list[str | Path] = ["-h", storage.run, "-U", config.SUPERUSER]
    command = [binaries.program(program), *where, *words]
    programs.run(command, stage.log, system_users.detect().database)


def _dump(stage: Stage) -> Path:
    return stage.folder / "dump"
