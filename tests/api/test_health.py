"""Is it running, would a request be served, and if not, why."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import falcon.testing
import pytest

from appliance.api import probes
from appliance.api.app import create_app
from appliance.api.probes import Probe
from appliance.apps.books.books import BOOKS
from appliance.backups import backup_status
from appliance.migrations.schema_check import SchemaState, TrackState
from appliance.settings import Settings
from appliance.storage import instances
from appliance.storage.instances import InstanceDirectory
from appliance.storage.lock import note_owner
from appliance.system import system_users
from tests.api.conftest import Client, Cluster

BEHIND = SchemaState(
    TrackState("engine", 3, 4, ("0004_x.sql",)),
    TrackState("books", 1, 1, ()),
    TrackState("client", 0, 1, ("0001_a.sql",)),
)


class HangingDatabase:
    """A database that answers nothing until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked = 0

    def probe(self, _unit: Callable[..., Any], _limit_s: float) -> None:
        self.asked += 1
        self.released.wait(30)


class Gate:
    """A schema gate that is open or not."""

    def __init__(self, state: SchemaState) -> None:
        self._state = state

    def state(self) -> SchemaState:
        return self._state

    def open(self) -> bool:
        return self._state.in_sync


@pytest.fixture
def hanging() -> Iterator[HangingDatabase]:
    database = HangingDatabase()
    yield database
    database.released.set()


@pytest.fixture
def container(empty: Cluster) -> Iterator[InstanceDirectory]:
    """The folder of a container that lives, and has not requested the database yet."""
    alive = instances.register(empty.storage, "a1b2c3d4e5f6", system_users.detect().database)
    yield InstanceDirectory(empty.storage, "a1b2c3d4e5f6")
    os.close(alive)


def app_with(database: Any, gate: Any, cluster: Cluster) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(Settings(), cluster.storage, database, gate, BOOKS))


def test_health_answers_without_a_key_or_a_database(
    hanging: HangingDatabase, cluster: Cluster
) -> None:
    answer = app_with(hanging, Gate(BEHIND), cluster).simulate_get("/health")
    assert answer.status_code == 200
    assert answer.json["status"] == "ok"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json["timestamp"])
    assert hanging.asked == 0


def test_up_answers_200_to_any_host_and_without_a_key(client: Client) -> None:
    headers = {"Authorization": None, "Host": "3f2a9c0d1e4b"}
    assert client.get("/up", headers=headers).status_code == 200
    assert client.request("HEAD", "/up", headers=headers).status_code == 200


def test_up_answers_503_in_time_while_the_database_hangs(
    hanging: HangingDatabase, cluster: Cluster
) -> None:
    client = app_with(hanging, Gate(BEHIND), cluster)
    started = time.monotonic()
    answers = [client.simulate_get("/up") for _ in range(2)]
    assert time.monotonic() - started < 2 * probes.LIMIT_S + 1
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].headers["content-type"] == "application/problem+json"
    # The second joined the first one's question instead of hanging a thread of its own.
    assert hanging.asked == 1


def test_up_answers_503_while_the_schema_is_behind(empty: Cluster) -> None:
    answer = app_with(empty.database(), Gate(BEHIND), empty).simulate_get("/up")
    assert answer.status_code == 503
    assert "schema" in answer.json["detail"]


def test_up_answers_503_until_the_handoff_is_settled(
    make_client: Callable[..., Client], container: InstanceDirectory
) -> None:
    client = make_client(appliance_instance=container.name)
    answer = client.get("/up")
    assert answer.status_code == 503
    assert "about to change hands" in answer.json["detail"]
    assert client.get("/api/accounts").status_code == 200, "requests are served meanwhile"
    container.note_handoff_complete()
    assert client.get("/up").status_code == 200


def test_everything_else_answers_503_until_the_schema_is_in_sync(empty: Cluster) -> None:
    client = app_with(empty.database(), Gate(BEHIND), empty)
    for path in ("/api/accounts", "/openapi.json", "/docs", "/unknown"):
        answer = client.simulate_get(path)
        assert answer.status_code == 503, path
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"


def test_ready_reports_every_check(client: Client, cluster: Cluster) -> None:
    answer = client.get("/ready", headers={"Authorization": None})
    assert answer.status_code == 200
    assert answer.json["ok"] is True
    checks = answer.json["checks"]
    assert set(checks) == {"database", "migrations", "ownership", "handoffs", "storage", "backup"}
    engine = checks["migrations"]["engine"]
    assert engine["applied"] == engine["required"] > 0
    assert engine["pending"] == []
    assert checks["handoffs"] == {"ok": True, "latest": []}
    assert checks["storage"]["free_bytes"] > 0
    assert checks["storage"]["writable"] is True
    known = ("last_backup", "last_failure", "last_proof", "last_verified")
    assert checks["backup"] == {"ok": True, **dict.fromkeys(known)}
    assert set(answer.json["durations_ms"]) == set(checks)


def test_ready_tells_of_a_backup_that_failed_and_is_ready_all_the_same(
    client: Client, empty: Cluster
) -> None:
    backup_status.record_failure(empty.storage, "the disk is full")
    answer = client.get("/ready")
    assert (answer.status_code, answer.json["ok"]) == (200, True)
    assert answer.json["checks"]["backup"]["ok"] is False
    failure = answer.json["checks"]["backup"]["last_failure"]
    assert failure["message"] == "the disk is full"
    assert 0 <= failure["age_s"] < 60
    empty.storage.backup_status.unlink()


def test_ready_says_who_owns_the_database(
    make_client: Callable[..., Client], empty: Cluster
) -> None:
    client = make_client(appliance_instance="a1b2c3d4")
    empty.storage.owner.unlink(missing_ok=True)
    assert client.get("/ready").json["checks"]["ownership"]["role"] == "none"
    for instance, role in (("a1b2c3d4", "owner"), ("ffffffff", "standby")):
        note_owner(empty.storage, instance)
        ownership = client.get("/ready").json["checks"]["ownership"]
        assert (ownership["role"], ownership["owner"]["instance"]) == (role, instance)


def test_ready_lists_the_containers_that_do_not_own_the_database(
    client: Client, empty: Cluster, container: InstanceDirectory
) -> None:
    note_owner(empty.storage, "ffffffff")
    container.note_waiting()
    standby = standbys(client)[container.name]
    assert standby["hostname"] == socket.gethostname()
    assert datetime.fromisoformat(standby["waits_since"]).utcoffset() is not None
    note_owner(empty.storage, container.name)
    assert container.name not in standbys(client)


def standbys(client: Client) -> dict[str, dict[str, Any]]:
    found = client.get("/ready").json["checks"]["ownership"]["standbys"]
    return {standby["instance"]: standby for standby in found}


def test_ready_answers_503_and_names_what_hangs(hanging: HangingDatabase, cluster: Cluster) -> None:
    started = time.monotonic()
    answer = app_with(hanging, Gate(BEHIND), cluster).simulate_get("/ready")
    assert time.monotonic() - started < probes.LIMIT_S + 1
    assert answer.status_code == 503
    checks = answer.json["checks"]
    assert checks["database"] == {"ok": False, "error": "no answer in 1.5 s"}
    assert checks["migrations"]["ok"] is False
    assert checks["migrations"]["engine"]["pending"] == ["0004_x.sql"]
    assert checks["storage"]["ok"] is True


def test_a_probe_that_hung_is_asked_again_when_it_has_come_back() -> None:
    release = threading.Event()
    probe = Probe("test", lambda: {"ok": release.wait(30)})
    hung = probe.start()
    assert probe.start() is hung
    release.set()
    assert hung.result(timeout=5).facts == {"ok": True}
    assert probe.start().result(timeout=5).facts == {"ok": True}


def test_a_probe_that_fails_says_so_in_one_line() -> None:
    def fail() -> dict[str, Any]:
        raise OSError(5, "Input/output\nerror")

    finding = probes.run({"disk": Probe("test", fail)})["disk"]
    assert finding.error == "OSError: [Errno 5] Input/output"
