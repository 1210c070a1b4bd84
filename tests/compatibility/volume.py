"""What these tests ask of a container of either build: only what lies on the volume, and HTTP."""

import json
from pathlib import Path
from typing import Any

import requests

from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

# From the end of whoever had the database until it is served again.
TAKE_BACK_LIMIT_S = 8.0

_KINDS = "SELECT kind FROM appliance.handoffs ORDER BY id"


def instance(appliance: Appliance) -> str:
    """Its name among those that share the storage: that of the folder whose lock it holds."""
    return wait_until(lambda: _locked_folder(appliance), "it has a folder")


def instances(appliance: Appliance) -> set[str]:
    """The names of all folders."""
    return {path.name for path in (appliance.storage.root / "run" / "instances").iterdir()}


def in_folder(appliance: Appliance) -> set[str]:
    """What lies in the container's folder."""
    return {path.name for path in _folder(appliance).iterdir()}


def owns(appliance: Appliance) -> bool:
    """Whether its Postgres runs, the note beside the lock names it, and it is healthy."""
    note = json.loads((appliance.storage.root / "run" / "owner.json").read_text())
    named = note["instance"] == instance(appliance)
    return named and appliance.postmaster() is not None and appliance.status("/up") == 200


def waits(appliance: Appliance) -> bool:
    """Whether it is a standby that is healthy: its Postgres program waits for the lock."""
    waiting = "waits.json" in in_folder(appliance) and appliance.postmaster() is None
    return waiting and appliance.status("/up") == 200


def role(appliance: Appliance) -> str:
    """What /ready says of it."""
    answer = requests.get(f"{appliance.url}/ready", timeout=10)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["checks"]["ownership"]["role"])


def status(appliance: Appliance) -> dict[str, Any]:
    """What its `appliance status --json` says."""
    return dict(json.loads(appliance.run("status", "--json").stdout))


def wait_until_owner(appliance: Appliance) -> None:
    """Wait until it has the database back."""
    what = f"the container at {appliance.url} owns the database\n{appliance.log}"
    wait_until(lambda: owns(appliance), what, TAKE_BACK_LIMIT_S)


def wait_for_kinds(appliance: Appliance, *wanted: str) -> None:
    """Wait until exactly these changes of hands are remembered: they are written after the fact."""

    def kinds() -> list[str]:
        with appliance.connect() as connection:
            return [row[0] for row in connection.execute(_KINDS)]

    wait_until(lambda: kinds() == list(wanted), f"{wanted} are remembered, not {kinds()}", 10)


def assert_roles(owner: Appliance, standby: Appliance) -> None:
    """One owns and the other waits, and each of them says so, of itself and of the other."""
    wait_until(lambda: waits(standby), f"it waits in the lock\n{standby.log}")
    assert owns(owner), owner.log
    assert (role(owner), role(standby)) == ("owner", "standby")
    for either in (owner, standby):
        told = status(either)
        assert told["owner"]["instance"] == instance(owner)
        assert told["owner"]["running"] is True
        assert [one["instance"] for one in told["standbys"]] == [instance(standby)]


def _folder(appliance: Appliance) -> Path:
    return appliance.storage.root / "run" / "instances" / instance(appliance)


def _locked_folder(appliance: Appliance) -> str:
    assert appliance.process.poll() is None, f"it ended:\n{appliance.log}"
    for link in Path(f"/proc/{appliance.process.pid}/fd").iterdir():
        try:
            target = link.readlink()
        except FileNotFoundError:
            continue
        # Until it has its name, the folder's begins with a dot.
        if target.name == "alive.lock" and target.parent.name[0] != ".":
            return target.parent.name
    return ""
