"""Postgres crashes under clients that never stop: they see slow answers and nothing else."""

from collections import Counter
from functools import partial
from typing import Any, cast

import psycopg

from load.closed_loop import ClosedLoop
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

CLIENTS = 4
CRASHES = 4


def test_no_request_fails_and_none_is_doubled_while_backends_and_postmaster_are_killed(
    appliance: Appliance,
) -> None:
    answers: list[int] = []
    appliance.key()
    with ClosedLoop([partial(make_account, appliance, answers)] * CLIENTS):
        for crash in range(CRASHES):
            wait_for_more(answers)
            kill_one_of_postgres(appliance, the_postmaster=crash % 2 == 1)
    assert Counter(answers) == {201: len(answers)}
    with wait_until(lambda: connected(appliance), "the last crash is over") as connection:
        row = connection.execute("SELECT count(*), count(DISTINCT name) FROM accounts").fetchone()
    assert row == (len(answers), len(answers))


def wait_for_more(answers: list[int]) -> None:
    enough = len(answers) + 20
    wait_until(lambda: len(answers) > enough, "requests are answered")


def connected(appliance: Appliance) -> "psycopg.Connection[Any] | None":
    try:
        return cast("psycopg.Connection[Any]", appliance.connect())
    except psycopg.OperationalError:
        return None


def make_account(appliance: Appliance, answers: list[int], number: int) -> None:
    """A client's turn, on a connection of its own: no other has made an account of that name."""
    account = {"name": f"{number}", "kind": "asset", "currency": "EUR"}
    answers.append(appliance.call("POST", "/api/accounts", json=account).status_code)


def kill_one_of_postgres(appliance: Appliance, *, the_postmaster: bool) -> None:
    """SIGKILL the postmaster, or a backend that serves the API, which makes Postgres recover."""
    master = wait_until(appliance.postmaster, "a postmaster runs")

    def victims() -> list[int]:
        children = processes.descendants(master.pid)
        return [p.pid for p in children if "app appliance" in p.command]

    victim = master.pid if the_postmaster else wait_until(victims, "the API is connected")[0]
    processes.kill(victim)
    wait_until(lambda: not processes.alive(victim), "its end")
