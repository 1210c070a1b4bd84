"""Backups of a living appliance, over HTTP."""

import uuid
from typing import Any

import requests

from appliance.backups import audit
from tests.harness.appliance import Appliance


class BackupClient:
    """Asks an appliance with an admin key that was made before anything else."""

    def __init__(self, appliance: Appliance) -> None:
        self.appliance = appliance
        self.name = f"boss {uuid.uuid4().hex[:6]}"
        self.key = self.new_key(self.name, "--admin")

    def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **options: Any
    ) -> requests.Response:
        """One request below /api/backup."""
        headers = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        where = f"{self.appliance.url}/api/backup{path}"
        sent = {} if body is None else {"json": body}
        return requests.request(method, where, headers=headers, timeout=60, **sent, **options)

    def work(self, location: str, *, key: str | None = None) -> requests.Response:
        """What became of work that was answered with a 202, by its Location."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return requests.get(f"{self.appliance.url}{location}", headers=headers, timeout=60)

    def make(self, name: str | None = None) -> dict[str, Any]:
        """Make a backup and return what is said of it."""
        answer = self.ask("POST", "", {"name": name or unused()})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def new_key(self, name: str, *options: str) -> str:
        """Make another key."""
        made = self.appliance.run("keys", "create", name, *options)
        return str(made.stdout.splitlines()[-1])

    def audited(self, name: str) -> list[tuple[str, str, bool]]:
        """What was done with one backup: action, actor, whether it went well."""
        entries = audit.tail(self.appliance.storage, 1000)
        return [
            (entry["action"], entry["actor"], entry["ok"])
            for entry in entries
            if entry["name"] == name
        ]


def unused() -> str:
    """A name that no backup has."""
    return f"test-{uuid.uuid4().hex[:8]}"


def problem(answer: requests.Response) -> tuple[int, str]:
    """The status and the kind of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return answer.status_code, document["type"].removeprefix("urn:appliance:problem:")
