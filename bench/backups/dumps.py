"""Making backups: ours, and what pg_dump alone does."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from appliance.backups.server import databases, pg_tools
from appliance.postgres import binaries, config
from appliance.system import system_users
from bench.backups import programs
from bench.backups.programs import Sample, measured
from bench.backups.stage import PROGRAM, Stage, jobs
from bench.processes import Process, start

_NAME = "bench"


def ours(stage: Stage) -> Sample:
    """`appliance backup create`."""
    return _create(stage, {})


def ours_encrypted(stage: Stage) -> Sample:
    """The same with BACKUP_RECIPIENTS."""
    return _create(stage, encrypted(stage))


def gzip(stage: Stage) -> Sample:
    """`pg_dump -Fd -j N` of every database, compressed as it does by itself."""
    return _dump(stage)


def zstd(stage: Stage) -> Sample:
    """The same, compressed as ours."""
    return _dump(stage, f"--compress={pg_tools.COMPRESSION}")


def age(stage: Stage) -> Sample:
    """`pg_dump -Fc` of every database, compressed as ours, through age."""
    with measured() as sample:
        for name in _databases(stage):
            dump = [*_pg_dump(stage, name), "-Fc", f"--compress={pg_tools.COMPRESSION}"]
            encrypting: list[str | Path] = [
                "age",
                "-r",
                stage.recipient,
                "-o",
                stage.scratch / f"{name}.age",
            ]
            # Ours are on the disk when the command ends, and so are those of pg_dump -Fd.
            script = f"{_words(dump)} | {_words(encrypting)} && sync {_words(encrypting[-1:])}"
            _run(["bash", "-o", "pipefail", "-c", script], stage)
    _clear(stage)
    return sample


def encrypted(stage: Stage) -> dict[str, str]:
    """What encrypts our backups."""
    return {"BACKUP_RECIPIENTS": stage.recipient}


def begin(stage: Stage, environment: Mapping[str, str]) -> Process:
    """Start to make a backup of ours; `forget` it when it has ended."""
    command: list[str | Path] = [PROGRAM, "backup", "create", "--name", _NAME]
    return start(command, stage.log, {**stage.environment, **environment})


def forget(stage: Stage) -> None:
    """Remove the backup that was made."""
    shutil.rmtree(stage.ours.storage.backups / _NAME)


def _create(stage: Stage, environment: Mapping[str, str]) -> Sample:
    with measured() as sample:
        programs.finish(begin(stage, environment), stage.log)
    forget(stage)
    return sample


def _dump(stage: Stage, *options: str) -> Sample:
    with measured() as sample:
        for name in _databases(stage):
            shape: list[str | Path] = ["-Fd", "-j", str(jobs()), "-f", stage.scratch / name]
            _run([*_pg_dump(stage, name), *shape, *options], stage)
    _clear(stage)
    return sample


def _pg_dump(stage: Stage, database: str) -> list[str | Path]:
    where: list[str | Path] = ["-h", stage.ours.storage.run, "-U", config.SUPERUSER]
    return [binaries.program("pg_dump"), *where, "-d", database]


def _databases(stage: Stage) -> list[str]:
    with databases.connect_to(stage.ours.storage.run, databases.MAINTENANCE) as connection:
        return databases.list_names(connection)


def _run(command: list[str | Path], stage: Stage) -> None:
    programs.run(command, stage.log, system_users.detect().database)


def _words(command: list[str | Path]) -> str:
    return shlex.join(map(str, command))


def _clear(stage: Stage) -> None:
    for path in stage.scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
