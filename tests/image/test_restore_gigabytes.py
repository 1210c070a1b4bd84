"""A large database in a small container. RESTORE_GIGABYTES says how large."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from docker.errors import APIError
from docker.models.containers import Container

from tests.image.backup_scene import Books, restored, source
from tests.image.conftest import Deploy
from tests.image.contained import processes
from tests.image.test_resources import oom_kills
from tests.platform import backup, restore
from tests.platform.containers import Executed, execute

pytestmark = pytest.mark.time_limit(600)

GIGABYTES = float(os.environ.get("RESTORE_GIGABYTES", "0.1"))
BYTES_OF_A_ROW = 200
MEBIBYTE = 1024 * 1024
MOST_MEMORY_MIB = 64
HOOKS_PROGRAMS = ("appliance hook", "/pg_dump", "/pg_restore")

FILL = """
    CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) || repeat(md5(n::text), 2) AS text
    FROM generate_series(1, {}) AS n
"""
DIGEST = "SELECT count(*), sum(hashtextextended(text, n)) FROM big"


@pytest.mark.nightly
def test_a_large_database_is_backed_up_and_restored_in_little_memory(
    deploy: Deploy, tmp_path: Path
) -> None:
    rows = int(GIGABYTES * 1e9 / BYTES_OF_A_ROW)
    appliance = deploy(memory_mib=256)
    books = Books(appliance)
    appliance.sql(FILL.format(rows), "CREATE INDEX ON big (n)")
    expected, before = appliance.sql(DIGEST), books.record()
    with watched() as watch:
        appliance.platform.backup(appliance.app, tmp_path / "backup")
        with restored(appliance.platform, tmp_path / "backup") as other:
            watch.lap("deploy")
            assert other.sql(DIGEST) == expected
            books.check(other, before, exactly=True)
            assert source(other) == "dump"
    size = (tmp_path / "backup").stat().st_size // MEBIBYTE
    print(f"{rows} rows, archive {size} MiB, seconds {watch.laps_s}, MiB {watch.most_mib}")
    assert oom_kills(appliance) == 0
    assert max(watch.most_mib.values(), default=0) < MOST_MEMORY_MIB


class Watch:
    """How long each step of backup and restore takes, and the most memory of the hooks' programs.

    A program's memory is what the kernel calls its high water mark, without what it shares.
    """

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self.most_mib: dict[str, int] = {}
        self._since = time.monotonic()

    def lap(self, name: str) -> None:
        """What was done since the last lap."""
        now = time.monotonic()
        self.laps_s[name], self._since = round(now - self._since, 1), now

    def execute(self, container: Container, *command: str) -> Executed:
        """Run a hook, and look at the memory of all that runs meanwhile."""
        self.lap(f"before {Path(command[0]).name}")
        over = threading.Event()
        looking = threading.Thread(target=self._look, args=(container, over))
        looking.start()
        try:
            return execute(container, *command)
        finally:
            over.set()
            looking.join()
            self.lap(Path(command[0]).name)

    def _look(self, container: Container, over: threading.Event) -> None:
        while not over.wait(0.1):
            try:
                found = processes(container)
            except APIError:
                return
            for process in found:
                for name in HOOKS_PROGRAMS:
                    if name in process.command:
                        self._note(name, process.pid)

    def _note(self, name: str, pid: int) -> None:
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        except OSError:
            return
        words = next((line.split() for line in lines if line.startswith("VmHWM:")), ["", "0"])
        self.most_mib[name] = max(self.most_mib.get(name, 0), int(words[1]) // 1024)


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch the hooks that the platform runs."""
    watch = Watch()
    with (
        mock.patch.object(backup, "execute", watch.execute),
        mock.patch.object(restore, "execute", watch.execute),
    ):
        yield watch
