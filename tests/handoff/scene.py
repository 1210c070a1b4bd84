"""What these tests look at and break: roles, records, and processes that are held."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.freezing import standing_still
from tests.harness.waiting import wait_until

# From the end of whoever had the database until it is served again. supervisord may take a second
# to start the waiting program anew, a successor that does not take it gets one, and Postgres may
# have to recover.
TAKE_BACK_LIMIT_S = 8.0
HANDS_OVER = "handing the database to container"
REQUESTED = "requested the database from container"
REQUESTS = "requests the database"
OWNS_NOW = "this container owns the database now"


def instance(appliance: Appliance) -> str:
    """The container's name among those that share the storage."""
    environment = Path(f"/proc/{agent(appliance)}/environ").read_bytes().split(b"\0")
    named = dict(pair.partition(b"=")[::2] for pair in environment)
    return named[b"APPLIANCE_INSTANCE"].decode()


def agent(appliance: Appliance) -> int:
    """The process of its agent."""
    return wait_until(lambda: appliance.programs().get("agent"), "an agent runs").pid


def folder(appliance: Appliance) -> Path:
    """The container's folder."""
    return appliance.storage.instances / instance(appliance)


def noted_owner(appliance: Appliance) -> str:
    """Which container the note beside the lock names."""
    return str(json.loads(appliance.storage.owner.read_text())["instance"])


def role(appliance: Appliance) -> str:
    """What /ready says of the container."""
    answer = requests.get(f"{appliance.url}/ready", timeout=10).json()
    return str(answer["checks"]["ownership"]["role"])


def status(appliance: Appliance) -> dict[str, Any]:
    """What `appliance status --json` says."""
    return dict(json.loads(appliance.run("status", "--json").stdout))


def kinds(appliance: Appliance) -> list[str]:
    """One word for each change of hands so far, oldest first."""
    with appliance.connect() as connection:
        rows = connection.execute("SELECT kind FROM appliance.handoffs ORDER BY id").fetchall()
    return [row[0] for row in rows]


def wait_for_kinds(appliance: Appliance, *wanted: str) -> None:
    """Wait until exactly these are remembered: they are written down after the fact."""
    try:
        wait_until(lambda: kinds(appliance) == list(wanted), f"{wanted} are remembered", 10)
    except AssertionError as error:
        raise AssertionError(f"{error}, but {kinds(appliance)}\n{appliance.log}") from error


def wait_for_line(appliance: Appliance, text: str, timeout_s: float = 60.0) -> None:
    """Wait until its log has this text."""
    wait_until(lambda: text in appliance.log, f"{text!r} in\n{appliance.log}", timeout_s)


def wait_until_owner(appliance: Appliance, timeout_s: float = TAKE_BACK_LIMIT_S) -> None:
    """Wait until its own Postgres serves it."""
    wait_until(
        lambda: owns(appliance) and appliance.status("/up") == 200,
        f"the container at {appliance.url} owns the database\n{appliance.log}",
        timeout_s,
    )


def owns(appliance: Appliance) -> bool:
    """Whether its Postgres program is Postgres, and everybody is told so."""
    return appliance.postmaster() is not None and noted_owner(appliance) == instance(appliance)


def assert_roles(owner: Appliance, *standbys: Appliance) -> None:
    """One owns, the others wait, and the kernel, the note and /ready agree on it."""
    assert owns(owner), owner.log
    assert role(owner) == "owner"
    for standby in standbys:
        assert standby.postmaster() is None
        assert (role(standby), standby.status("/up")) == ("standby", 200), standby.log


def child_of_postgres(appliance: Appliance, title: str) -> int:
    """One process of its Postgres by its title."""
    master = appliance.postmaster()
    assert master
    found = [p.pid for p in processes.descendants(master.pid) if f"postgres: {title}" in p.command]
    assert len(found) == 1, found
    return found[0]


@contextmanager
def paused(appliance: Appliance) -> Iterator[None]:
    """The whole container stands still."""
    with standing_still(appliance.process.pid):
        yield
