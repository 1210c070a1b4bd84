"""What these tests look at: the command `appliance backup`, and everything that must not change."""

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from psycopg import sql

from appliance.backups import audit
from appliance.system import system_users
from load.writes import sale
from tests.backups.destinations.servers import BUCKET, Server
from tests.harness import command, processes, speed
from tests.harness.appliance import Appliance
from tests.harness.command import COMMAND
from tests.harness.waiting import wait_until

TRANSACTIONS = 3
LIMIT_S = 120.0 * speed.scale()

_DATABASES = """
    SELECT oid::int, datname, pg_get_userbyid(datdba) FROM pg_database
    WHERE datallowconn AND NOT datistemplate ORDER BY datname
"""
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg_toast%' ORDER BY 1, 2
"""
_SUM = "SELECT count(*), md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM {} t"
_SEQUENCES = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
_OBJECTS = "SELECT oid::int, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1"
_HELD = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'appliance backup' AND wait_event_type = 'Lock'
"""


class BackupCommand:
    """`appliance backup …` on an appliance, with backups in a folder of its own."""

    def __init__(self, appliance: Appliance, folder: Path, **variables: str) -> None:
        self.appliance = appliance
        self.folder = folder
        self.variables = {"BACKUP_DIR": str(folder), **variables}

    def given(self, **variables: str) -> "BackupCommand":
        """The same with more variables, for as long as it is used."""
        return BackupCommand(self.appliance, self.folder, **{**self.variables, **variables})

    def run(
        self,
        *words: str,
        code: int = 0,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        **variables: str,
    ) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, which must be this exit code, and never a traceback."""
        environment = self._environment(variables)
        done = command.run(["backup", *words], environment, LIMIT_S, stdin)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def answered(self, answer: str, *words: str, code: int = 0) -> str:
        """What it asks somebody at a terminal, who answers so."""
        ours, its = pty.openpty()
        with open(ours, "r+b", 0) as keyboard, open(its, "r+b", 0) as terminal:
            keyboard.write(f"{answer}\n".encode())
            return self.run(*words, code=code, stdin=terminal).stderr

    def refused(self, *words: str, code: int = 1, **variables: str) -> str:
        """What it says for people when it does not do it."""
        done = self.given(**variables).run(*words, code=code)
        assert done.stdout == ""
        return done.stderr

    def json(self, *words: str, **variables: str) -> Any:
        """The document that it prints for programs."""
        done = self.given(**variables).run(*words, "--json")
        assert done.stderr == ""
        return json.loads(done.stdout)

    def start(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        """Start it and return at once."""
        return subprocess.Popen(
            [COMMAND, "backup", *words],
            env=self._environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def names(self, **variables: str) -> list[str]:
        """The backups there are, the newest first."""
        return [one["name"] for one in self.json("list", **variables)]

    def audited(self) -> list[tuple[str, str | None, bool]]:
        """What the audit tells, in short."""
        entries = audit.tail(self.appliance.storage, 10_000)
        return [(one["action"], one.get("name"), one["ok"]) for one in entries]

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        return {**self.appliance.environment, **self.variables, **variables}


def own_folder(parent: Path, name: str) -> Path:
    """A new folder that belongs to the user that makes backups."""
    folder = parent / name
    folder.mkdir(mode=0o750)
    if os.geteuid() == 0:
        user = system_users.detect().database
        os.chown(folder, user.uid, user.gid)
    return folder


def copy(backup: Path, target: Path, name: str | None = None) -> None:
    """Copy a backup with its owners, and give the copy another name if asked to."""
    shutil.copytree(backup, target)
    if name is not None:
        edit(target, lambda manifest: manifest.update(name=name))
    for path in (target, *target.rglob("*")):
        status = (backup / path.relative_to(target)).stat()
        os.chown(path, status.st_uid, status.st_gid)


def manifest(backup: Path) -> Any:
    """A backup's manifest, as it is on the disk."""
    return json.loads((backup / "manifest.json").read_text())


def edit(backup: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a backup's manifest."""
    document = manifest(backup)
    change(document)
    (backup / "manifest.json").write_text(json.dumps(document))


def in_bucket(server: Server, prefix: str, **changed: str) -> dict[str, str]:
    """The variables that say: keep backups in S3, too."""
    where = f"r2=s3://{BUCKET}/{prefix}?endpoint={server.endpoint}"
    return {
        "BACKUP_DESTINATIONS": where,
        "BACKUP_S3_ACCESS_KEY_ID": server.owner.access_key_id,
        "BACKUP_S3_SECRET_ACCESS_KEY": server.owner.secret_access_key,
        **changed,
    }


def keep_books(appliance: Appliance) -> None:
    """Record a few transactions."""
    accounts = []
    for name in ("Till", "Income"):
        body = {"name": name, "kind": "asset", "currency": "EUR"}
        answer = appliance.call("POST", "/api/accounts", json=body)
        assert answer.status_code == 201, answer.text
        accounts.append(int(answer.json()["id"]))
    for number in range(TRANSACTIONS):
        body = sale(number, accounts).body() | {"description": f"Kept {number}"}
        headers = {"Idempotency-Key": f"kept-{number}"}
        answer = appliance.call("POST", "/api/transactions", json=body, headers=headers)
        assert answer.status_code == 201, answer.text


def state(appliance: Appliance) -> dict[str, Any]:
    """Everything in every database, and the roles: equal only if nothing was changed."""
    with appliance.connect("postgres", "postgres") as connection:
        databases = connection.execute(_DATABASES).fetchall()
        roles = connection.execute("SELECT * FROM pg_roles ORDER BY oid").fetchall()
    held = {name: held_in(appliance, name) for _, name, _ in databases}
    return {"databases": databases, "roles": roles, "held": held}


def held_in(appliance: Appliance, database: str) -> dict[str, Any]:
    """Rows and a checksum of each table in a database, its sequences and large objects."""
    with appliance.connect("postgres", database) as connection:
        found: dict[str, Any] = {
            f"{schema}.{table}": connection.execute(
                sql.SQL(_SUM).format(sql.Identifier(schema, table))
            ).fetchone()
            for schema, table in connection.execute(_TABLES).fetchall()
        }
        found["sequences"] = connection.execute(_SEQUENCES).fetchall()
        found["large objects"] = connection.execute(_OBJECTS).fetchall()
    return found


@contextmanager
def unchanged(*appliances: Appliance) -> Iterator[None]:
    """Whatever happens in this block, no data changes by it, and it is served."""
    before = [state(one) for one in appliances]
    yield
    assert [state(one) for one in appliances] == before
    assert {one.status("/up") for one in appliances} == {200}


@contextmanager
def held(appliance: Appliance) -> Iterator[Callable[[], None]]:
    """No dump of the books gets beyond its beginning; yields how to wait until one is there."""
    with appliance.connect("postgres") as connection, connection.transaction():
        connection.execute("LOCK TABLE public.accounts IN ACCESS EXCLUSIVE MODE")
        yield lambda: wait_until_held(appliance)


def wait_until_held(appliance: Appliance) -> None:
    """Wait until a dump waits for a lock."""
    with appliance.connect("postgres", "postgres") as connection:
        wait_until(lambda: connection.execute(_HELD).fetchone() != (0,), "a dump waits for a lock")


def kill(process: "subprocess.Popen[str]") -> None:
    """SIGKILL it alone, and wait for the end of all that it had started."""
    below = processes.descendants(process.pid)
    process.kill()
    process.communicate(timeout=30)
    for child in below:
        wait_until(partial(processes.ended, child.pid), f"the end of {child}")


def ended(process: "subprocess.Popen[str]", code: int = 0) -> str:
    """Wait for its end, which must be this exit code; returns all that it said."""
    said = "".join(filter(None, process.communicate(timeout=LIMIT_S)))
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


def below(pid: int) -> list[int]:
    """Every process below one that has not ended."""
    return [process.pid for process in processes.descendants(pid) if process.state != "Z"]
