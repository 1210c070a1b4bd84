"""What is told of an outage when it is over: how many waited, how long, and how it ended."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from appliance.database.connect import Connection
from appliance.database.holds import DatabaseUnavailable, Hold, Holds
from tests.database.conftest import Open
from tests.database.units import Background
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

UNITS = 4
Unit = Callable[[Connection], None]


class InFlight:
    """A unit that several threads run at once; the first time it ends with the server."""

    def __init__(self) -> None:
        self.together = threading.Barrier(UNITS + 1)
        self.lost: list[int] = []
        self._first = threading.local()

    def __call__(self, connection: Connection) -> None:
        if getattr(self._first, "over", False):
            return
        self._first.over = True
        connection.execute("SELECT 1")
        self.together.wait(30)
        try:
            connection.execute("SELECT pg_sleep(60)")
        except psycopg.Error:
            self.lost.append(1)
            raise


class Clock:
    """Stands in for `time`, for what only wants to know how late it is."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleep = time.sleep

    def monotonic(self) -> float:
        return self.now


def test_an_outage_is_told_once_with_the_number_and_the_longest_of_the_held(
    mortal: PostgresProgram, open_database: Open
) -> None:
    told: list[Hold] = []
    database, unit = open_database(mortal.storage.run, report=told.append), InFlight()
    writes = [Background(database, unit) for _ in range(UNITS)]
    unit.together.wait(30)
    mortal.kill_everything()
    wait_until(lambda: len(unit.lost) == UNITS, "all of them lost their connections")
    mortal.start().wait_until_serving()
    for write in writes:
        write.result()
    wait_until(lambda: told, "it is told")
    (hold,) = told
    assert (hold.requests, hold.given_up) == (UNITS, 0)
    with mortal.connect() as connection:
        row = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    assert row
    assert hold.began_at < row[0] < hold.ended_at
    longest, rounding = timedelta(milliseconds=hold.longest_ms), timedelta(milliseconds=5)
    assert row[0] - hold.began_at - rounding <= longest <= hold.ended_at - hold.began_at + rounding


def test_those_that_meet_their_deadline_are_told_as_given_up(
    mortal: PostgresProgram, open_database: Open
) -> None:
    told: list[Hold] = []
    database = open_database(mortal.storage.run, hold_seconds=1.5, report=told.append)
    unit = InFlight()
    writes = [Background(database, unit) for _ in range(UNITS)]
    unit.together.wait(30)
    mortal.kill_everything()
    for write in writes:
        with pytest.raises(DatabaseUnavailable):
            write.result()
    wait_until(lambda: sum(hold.requests for hold in told) == UNITS, "all of them are told")
    assert sum(hold.given_up for hold in told) == UNITS


def test_probes_are_not_counted(mortal: PostgresProgram, open_database: Open) -> None:
    told: list[Hold] = []
    database = open_database(mortal.storage.run, report=told.append)
    mortal.kill_everything()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            database.probe(nothing, 0.1)
    held = Background(database, nothing)
    mortal.start().wait_until_serving()
    held.result()
    database.probe(nothing, 5.0)
    wait_until(lambda: told, "it is told")
    assert [(hold.requests, hold.given_up) for hold in told] == [(1, 0)]


def test_units_that_fail_or_wait_without_an_outage_are_not_told(
    server: PostgresProgram, open_database: Open
) -> None:
    told: list[Hold] = []
    database = open_database(server.storage.run, connections=1, report=told.append)
    turns = [Background(database, briefly) for _ in range(4)]
    for turn in turns:
        turn.result()
    with pytest.raises(psycopg.errors.DivisionByZero):
        database.read(lambda connection: connection.execute("SELECT 1/0"))
    database.close()
    assert told == []


def test_overlapping_holds_are_one_and_the_next_begins_at_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = Clock(), list[Hold]()
    monkeypatch.setattr("appliance.database.holds.time", clock)
    holds = Holds(told.append)
    first = holds.begin()
    clock.now += 0.25
    second = holds.begin()
    clock.now += 0.5
    holds.end(first, given_up=True)
    assert (holds.any, told) == (True, [])
    clock.now += 0.1
    holds.end(second, given_up=False)
    wait_until(lambda: len(told) == 1, "the first is told")
    assert [holds.any] == [False]
    third = holds.begin()
    clock.now += 0.02
    holds.end(third, given_up=False)
    wait_until(lambda: len(told) == 2, "the second is told")
    assert [(h.requests, h.given_up, h.longest_ms) for h in told] == [(2, 1, 750.0), (1, 0, 20.0)]
    assert told[0].ended_at - told[0].began_at == timedelta(seconds=0.85)
    assert told[0].words == "held 2 requests, the longest for 750 ms; 1 of them got a 503"
    assert told[1].words == "held 1 request, the longest for 20 ms"


def nothing(connection: Connection) -> None:
    connection.execute("SELECT 1")


def briefly(connection: Connection) -> None:
    connection.execute("SELECT pg_sleep(0.05)")
