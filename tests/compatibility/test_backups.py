"""What one build has backed up is restored by the other, by hand and as the platform does it."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from load.writes import sale
from tests.compatibility.builds import ROOT, Build, OneBuild
from tests.compatibility.conftest import Variables, one_then_the_other
from tests.harness.appliance import Appliance, ending
from tests.harness.command import COMMAND
from tests.harness.folders import short_folder
from tests.harness.waiting import wait_until
from tests.hooks.copying import copy

LIMIT_S = 120.0
PASSPHRASE = {"BACKUP_PASSPHRASE": "three words more or less"}


class Scene:
    """One build runs and makes backups; the `restorer` is a command of the other on its storage."""

    def __init__(self, build: Build, storage: Path, variables: Variables) -> None:
        self.build = build
        self.maker = OneBuild(storage, **variables(build))
        self.restorer = OneBuild(storage, **variables(build.other))
        self._accounts: list[int] = []

    def write(self, number: int) -> None:
        """Record a transaction with the one that runs."""
        sent = sale(number, self._accounts or self._open_accounts()).body()
        assert self.maker.call("POST", "/api/transactions", json=sent).status_code == 201

    def _open_accounts(self) -> list[int]:
        for name in ("Cash", "Sales"):
            body = {"name": name, "kind": "asset", "currency": "EUR"}
            answer = self.maker.call("POST", "/api/accounts", json=body)
            self._accounts.append(int(answer.json()["id"]))
        return self._accounts


@pytest.fixture(scope="module", params=Build, ids=one_then_the_other)
def scene(request: pytest.FixtureRequest, variables: Variables) -> Iterator[Scene]:
    """The build that makes backups, with something in its books."""
    with short_folder() as folder:
        scene = Scene(request.param, folder / "s", variables)
        with ending(scene.maker):
            scene.maker.start().wait_until_up()
            scene.write(1)
            yield scene


@pytest.mark.parametrize("options", [{}, PASSPHRASE], ids=["plain", "encrypted"])
def test_a_backup_of_one_build_is_shown_verified_and_restored_by_the_other(
    scene: Scene, options: dict[str, str]
) -> None:
    before = books(scene.maker)
    name = backup(scene.maker, "create", **options)["name"]
    scene.write(2)
    shown = [backup(one, "show", name, **options) for one in (scene.maker, scene.restorer)]
    assert [facts(document) for document in shown] == [facts(shown[0])] * 2
    assert shown[1]["encrypted"] is bool(options)
    assert backup(scene.restorer, "verify", name, **options)["ok"] is True
    assert backup(scene.restorer, "restore", name, "--force", **options)["restored"] is True
    assert books(scene.maker) == before
    told = json.loads(run(scene.maker, "status"))["backup"]
    assert told["last_verified"]["name"] == name


def test_the_api_of_one_build_has_the_other_make_a_backup(scene: Scene) -> None:
    key = scene.maker.run("keys", "create", "admin", "--admin").stdout.splitlines()[-1]
    storage, headers = scene.maker.storage.root, {"Authorization": f"Bearer {key}"}
    with ending(OneBuild(storage, **scene.restorer.variables)) as alone:
        alone.start("api")
        wait_until(lambda: alone.status("/health") == 200, "it answers")
        where, body = f"{alone.url}/api/backup", {"name": "asked-for"}
        answer = requests.post(where, json=body, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    assert backup(scene.maker, "verify", "asked-for")["ok"] is True


def test_what_the_hook_of_one_build_has_left_is_restored_by_that_of_the_other(
    scene: Scene, old_build: Path, storage_folder: Path
) -> None:
    roots = {Build.OLD: old_build, Build.NEW: ROOT}
    before = books(scene.maker)
    run_hook(roots[scene.build] / "hooks" / "pre-backup", scene.maker)
    scene.write(3)
    copy(scene.maker.storage.root, storage_folder)
    with ending(OneBuild(storage_folder, **scene.restorer.variables)) as restored:
        run_hook(roots[scene.build.other] / "hooks" / "post-restore", restored)
        audit = (storage_folder / "run" / "backup-audit.jsonl").read_text().splitlines()
        assert json.loads(audit[-1])["source"] == "dump"
        restored.start().wait_until_up()
        assert books(restored) == before


def books(appliance: Appliance) -> list[Any]:
    """All accounts and transactions."""
    paths = ("/api/accounts", "/api/transactions")
    return [appliance.call("GET", path).json()["items"] for path in paths]


def facts(shown: dict[str, Any]) -> list[Any]:
    """What every build must say alike of a backup."""
    return [shown[name] for name in ("name", "fault", "created_at", "size", "databases")]


def backup(appliance: Appliance, *words: str, **variables: str) -> Any:
    """What `appliance backup … --json` prints."""
    return json.loads(run(appliance, "backup", *words, **variables))


def run(appliance: Appliance, *words: str, **variables: str) -> str:
    """What a command prints that works."""
    return execute([COMMAND, *words, "--json"], appliance.environment | variables)


def run_hook(hook: Path, appliance: Appliance) -> None:
    """Run a hook as the platform does; it works."""
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    execute([hook], {**appliance.environment, "PATH": path})


def execute(command: Sequence[str | Path], environment: dict[str, str]) -> str:
    """Run a program that ends well; returns its output."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
