"""What these tests do with a storage: run the hooks, write books, look at what was restored."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import appliance
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from tests.harness import locks, processes, speed
from tests.harness.appliance import Appliance, ending
from tests.harness.command import COMMAND
from tests.harness.freezing import kill_tree
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

ROOT = Path(appliance.__file__).parents[1]
HOOKS = ROOT / "hooks"
LIMIT_S = 90.0 * speed.scale()

_STATE = """
    SELECT t.id, count(p.*), coalesce(sum(p.amount), -1)
    FROM transactions t LEFT JOIN postings p ON p.transaction_id = t.id GROUP BY t.id
"""


@dataclass(frozen=True)
class Ran:
    """How a hook ended."""

    code: int
    output: str
    error: str


class Hook:
    """One run of a hook, as the platform starts it: no shell, no terminal, no limit of time."""

    def __init__(self, name: str, storage: Storage, *before: str | Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*before, HOOKS / name],
            env=environment(storage, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> Ran:
        """Wait for its end."""
        output, error = self.process.communicate(timeout=LIMIT_S)
        return Ran(self.process.returncode, output, error)

    def program(self, name: str) -> int | None:
        """The number of a program that it runs, None if there is none now."""
        below = processes.descendants(self.process.pid)
        found = [p.pid for p in below if p.state != "Z" and f"/bin/{name} " in p.command]
        return found[0] if found else None

    def kill_everything(self) -> None:
        """SIGKILL it and what it runs."""
        kill_tree(self.process.pid)
        self.process.communicate()


def environment(storage: Storage, **variables: str) -> dict[str, str]:
    """What the platform gives a hook, with the `appliance` of this checkout first in PATH."""
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    return {**Appliance(storage.root).environment, "PATH": path, **variables}


def pre_backup(storage: Storage, **variables: str) -> Ran:
    """Run it."""
    return Hook("pre-backup", storage, **variables).end()


def post_restore(storage: Storage, *before: str | Path, **variables: str) -> Ran:
    """Run it."""
    return Hook("post-restore", storage, *before, **variables).end()


def python(storage: Storage, module: str, *arguments: str) -> Ran:
    """Run a module of these tests as a program, with the environment of a hook."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"tests.hooks.{module}", *arguments],
        env=environment(storage, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def back_up(storage: Storage) -> None:
    """A hook that works."""
    done = pre_backup(storage)
    assert done.code == 0, done.error
    assert copy_detection.is_open(storage)


def restore(storage: Storage, *before: str | Path, **variables: str) -> str:
    """A post-restore that works; returns what it took, `dump` or `pgdata`."""
    done = post_restore(storage, *before, **variables)
    assert done.code == 0, done.error
    entry = json.loads(storage.backup_audit.read_text().splitlines()[-1])
    assert (entry["action"], entry["ok"]) == ("hook post-restore", True)
    return str(entry["source"])


@contextmanager
def dump_that_waits(running: Appliance) -> Iterator[Hook]:
    """A pre-backup hook that stands still in the middle of the dump, as long as the block lasts.

    It goes on by itself once the connection that holds it is gone.
    """
    connection = running.connect()
    connection.execute("BEGIN; LOCK TABLE wear")
    hook = Hook("pre-backup", running.storage)
    try:
        wait_until(lambda: _waits(running, hook), "the dump waits", LIMIT_S)
        yield hook
    finally:
        # Not ended with a COMMIT: its server may be gone.
        connection.close()
        hook.kill_everything()


def _waits(running: Appliance, hook: Hook) -> bool:
    assert hook.process.poll() is None, hook.end()
    query = """SELECT FROM pg_stat_activity
        WHERE application_name = 'appliance backup' AND wait_event_type = 'Lock'"""
    with running.connect("postgres", "postgres") as connection:
        return connection.execute(query).fetchone() is not None


def fail(running: Appliance) -> Ran:
    """A pre-backup hook whose pg_dump is killed."""
    with dump_that_waits(running) as hook:
        dump = hook.program("pg_dump")
        assert dump
        os.kill(dump, signal.SIGKILL)
        return hook.end()


def books(storage: Storage) -> set[int]:
    """The transactions of a storage where nothing runs; all of them are whole and balance."""
    wait_until(lambda: locks.is_free(storage), "nothing runs on it")
    with ending(PostgresProgram(storage.root)) as program:
        program.start().wait_until_serving()
        with program.connect() as connection:
            rows = connection.execute(_STATE).fetchall()
    assert {row[1:] for row in rows} <= {(2, Decimal(0))}
    return {row[0] for row in rows}


def refusal(storage: Storage) -> str:
    """What the `postgres` program says that must not start on this storage."""
    wait_until(lambda: locks.is_free(storage), "nothing runs on it")
    with ending(PostgresProgram(storage.root)) as program:
        code = program.start().wait()
        wait_until(lambda: program.log, "it says why")
        assert code == 4, program.log
        return program.log
