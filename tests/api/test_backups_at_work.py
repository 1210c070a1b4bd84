"""Backups over HTTP that take long, that meet each other, and that meet other requests."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg

from appliance.api.backups.delegated_endpoints import ANSWER_WITHIN_S
from tests.api.backup_client import BackupClient, problem, unused
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.waiting import wait_until

END_DUMPS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'appliance backup' AND wait_event_type = 'Lock'
"""
# Of a machine that does much else.
PATIENCE_S = 5.0


def test_what_takes_long_is_a_202_and_goes_on(backup_client: BackupClient) -> None:
    name, there = unused(), backup_client.make()["name"]
    with closing(locked_books(backup_client.appliance)) as lock:
        began = time.monotonic()
        answer = backup_client.ask("POST", "", {"name": name})
        took_s = time.monotonic() - began
        assert answer.status_code == 202, answer.text
        assert ANSWER_WITHIN_S - 1 < took_s < ANSWER_WITHIN_S + PATIENCE_S
        document, location = answer.json(), answer.headers["location"]
        assert location == f"/api/backup-work/{document['id']}"
        told = {"id": document["id"], "message": None}
        assert backup_client.work(location).json() == {**told, "status": "running"}
        assert (document["name"], document["status"]) == (name, "running")
        assert document["progress"]["phase"] == "dumping"
        assert problem(backup_client.ask("GET", f"/{name}")) == (404, "no-such-backup")
        for method, path, body in writing(there):
            assert problem(backup_client.ask(method, path, body)) == (409, "backup-conflict"), path
        lock.rollback()
    wait_until(lambda: backup_client.work(location).json()["status"] != "running", "it is over")
    assert backup_client.work(location).json() == {**told, "status": "done"}
    assert backup_client.ask("GET", f"/{name}").status_code == 200
    assert backup_client.audited(name)[-1] == ("create", f"key {backup_client.name}", True)


def test_what_took_long_and_failed_says_why(backup_client: BackupClient) -> None:
    with closing(locked_books(backup_client.appliance)) as lock:
        answer = backup_client.ask("POST", "", {"name": unused()})
        assert answer.status_code == 202, answer.text
        location = answer.headers["location"]
        with backup_client.appliance.connect("postgres", "postgres") as connection:
            assert connection.execute(END_DUMPS).fetchall()
        wait_until(lambda: backup_client.work(location).json()["status"] != "running", "it is over")
        lock.rollback()
    ended = backup_client.work(location).json()
    assert (ended["id"], ended["status"]) == (answer.json()["id"], "failed")
    assert ended["message"].startswith("pg_dump failed with exit code 1:")


def test_an_agent_that_hangs_is_not_waited_for_and_does_nothing_later(
    backup_client: BackupClient,
) -> None:
    name = unused()
    agent = backup_client.appliance.programs()["agent"].pid
    os.kill(agent, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(2) as threads:
            listing = threads.submit(backup_client.ask, "GET", "")
            creating = threads.submit(backup_client.ask, "POST", "", {"name": name})
            answers = listing.result(), creating.result()
    finally:
        os.kill(agent, signal.SIGCONT)
    for answer in answers:
        assert problem(answer) == (503, "backups-unavailable")
        assert answer.headers["retry-after"] == "5"
    # It hears of what comes after that later too.
    backup_client.make()
    assert backup_client.ask("GET", f"/{name}").status_code == 404


def test_a_restore_fails_no_request(make_appliance: Callable[..., Appliance]) -> None:
    appliance = make_appliance().start().wait_until_up()
    backup_client = BackupClient(appliance)
    with Load(appliance) as load:
        backup = backup_client.make()
        load.wait_for_more()
        for _ in range(2):
            answer = backup_client.ask("POST", f"/{backup['name']}/restore", {"force": True})
            assert answer.status_code == 200, answer.text
            load.wait_for_more()
    assert load.outcomes.failures == [], load.outcomes.story()
    balance = appliance.call("GET", "/api/trial-balance").json()
    assert balance["balanced"] is True
    kept = backup_client.make()["counts"]["transactions"]
    assert backup["counts"]["transactions"] < kept < len(load.writes.acknowledged)


def locked_books(appliance: Appliance) -> "psycopg.Connection[Any]":
    """A connection that holds what pg_dump needs, so that it waits, until it rolls back."""
    connection: psycopg.Connection[Any] = appliance.connect()
    connection.autocommit = False
    connection.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
    return connection


def writing(name: str) -> list[tuple[str, str, Any]]:
    """Everything that one alone may do at a time."""
    return [
        ("POST", "", {"name": unused()}),
        ("POST", "/prune", {"keep": 100_000}),
        ("POST", "/verify", {"name": name}),
        ("POST", f"/{name}/restore", {"force": True}),
        ("DELETE", f"/{name}", None),
    ]
