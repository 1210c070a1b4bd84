"""Lookups in an event loop: they wait for Postgres only, and whatever else is left to a thread."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from psycopg import errors

from appliance.database import event_loop
from appliance.database.connect import Connection
from appliance.database.holds import NOTHING_CHANGED, DatabaseUnavailable, Deadline, Hold
from appliance.database.pipeline import Query, first_row, no_answer
from appliance.database.units_of_work import Database
from tests.database.conftest import Open, connect_as_api
from tests.database.lookups import Loop
from tests.database.units import AddThing, Background, backends, things
from tests.harness import processes
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

ONE = Query("SELECT 1", (), first_row)
BACKEND = Query("SELECT pg_backend_pid()", (), first_row)
COUNTERS = Query("SELECT value FROM counters WHERE id = 1", (), first_row)
SLEEP = Query("SELECT pg_sleep(60)", (), no_answer)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def add() -> Iterator[AddThing]:
    """A unit whose server process goes on at the end, whatever happens."""
    unit = AddThing()
    yield unit
    unit.thaw_backend()


def with_connections(database: Database, number: int) -> Database:
    """Have it keep as many idle connections."""
    together = threading.Barrier(number)
    units = [Background(database, lambda _: together.wait(30)) for _ in range(number)]
    for unit in units:
        unit.result()
    return database


def test_a_lookup_that_waits_keeps_no_other_from_being_answered(
    server: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    database = with_connections(open_database(server.storage.run), 2)
    with server.connect("appliance") as owner:
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE counters")
        waiting = loop.begin(lambda: database.ask(COUNTERS))
        wait_until(lambda: backends(server, "active"), "it waits for the lock")
        assert loop.run(lambda: database.ask(ONE)) == [(1,)]
        assert not waiting.over
        owner.execute("COMMIT")
    assert loop.finish(waiting) == [(0,)]
    assert loop.suspended == {}


def test_an_answer_of_many_pieces_is_received_as_a_whole(
    server: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    database = with_connections(open_database(server.storage.run), 1)
    long = Query("SELECT repeat('x', 5000000), $1::text", ("y" * 5_000_000,), first_row)
    ((received, sent_back),) = loop.run(lambda: database.ask(long))
    assert (len(received), len(sent_back)) == (5_000_000, 5_000_000)


def test_without_an_idle_connection_a_thread_opens_one(
    server: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    database = open_database(server.storage.run, connections=1)
    assert isinstance(loop.left_to_thread(loop.begin(lambda: database.ask(ONE))), Deadline)
    assert backends(server, "idle") == []
    assert database.ask(ONE) == [(1,)], "the turn was given back"
    assert loop.run(lambda: database.ask(ONE)) == [(1,)], "and the connection"


def test_without_a_free_turn_a_thread_waits_for_one(
    server: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    database = with_connections(open_database(server.storage.run, connections=2), 2)
    first, begun, may_end = AddThing(), threading.Event(), threading.Event()

    def unit(connection: Connection) -> int:
        begun.set()
        assert may_end.wait(30)
        return first(connection)

    write = Background(database, unit)
    assert begun.wait(30)
    waiting = loop.begin(lambda: database.ask(ONE))
    assert isinstance(loop.left_to_thread(loop.begin(lambda: database.ask(ONE))), Deadline), (
        "both are taken"
    )
    assert loop.finish(waiting) == [(1,)]
    assert loop.run(lambda: database.ask(ONE)) == [(1,)]
    may_end.set()
    assert write.result() == 1


UNITS: tuple[Callable[[Database, AddThing], Any], ...] = (
    lambda database, unit: database.write(unit),
    lambda database, unit: database.read(unit),
    lambda database, unit: database.probe(unit, 1.0),
)


@pytest.mark.parametrize("start", UNITS, ids=["write", "read", "probe"])
def test_what_is_no_lookup_is_left_to_a_thread(
    server: PostgresProgram,
    open_database: Open,
    loop: Loop,
    start: Callable[[Database, AddThing], Any],
) -> None:
    database = with_connections(open_database(server.storage.run, connections=1), 1)
    unit = AddThing()
    assert loop.left_to_thread(loop.begin(lambda: start(database, unit))) is None
    assert (unit.runs, things(server)) == (0, [])
    assert loop.run(lambda: database.ask(ONE)) == [(1,)]
    assert database.write(AddThing()) == 1


def test_an_error_is_undone_in_the_loop_and_the_connection_is_used_again(
    server: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    def impatient(folder: Path) -> Connection:
        connection = connect_as_api(folder)
        connection.execute("SET statement_timeout = 50")
        return connection

    database = with_connections(
        open_database(server.storage.run, connect=impatient, connections=1), 1
    )
    before = loop.run(lambda: database.ask(BACKEND))
    for _ in range(2):
        with pytest.raises(errors.QueryCanceled):
            loop.run(lambda: database.ask(SLEEP))
        assert backends(server, "idle in transaction (aborted)") == []
    assert loop.run(lambda: database.ask(BACKEND)) == before


def test_statements_that_were_thrown_away_are_made_anew_by_a_thread(
    server: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    told: list[Hold] = []
    database = with_connections(open_database(server.storage.run, report=told.append), 1)
    assert loop.run(lambda: database.ask(ONE)) == [(1,)]
    database.read(lambda connection: connection.execute("DEALLOCATE ALL") and None)
    carried = loop.left_to_thread(loop.begin(lambda: database.ask(ONE)))
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(go_on, carried, lambda: database.ask(ONE)).result() == [(1,)]
    assert loop.run(lambda: database.ask(ONE)) == [(1,)]
    assert told == [], "the database was never away"


def test_a_lookup_whose_server_is_killed_goes_on_in_a_thread_and_is_held_once(
    mortal: PostgresProgram, open_database: Open, loop: Loop
) -> None:
    told: list[Hold] = []
    database = open_database(mortal.storage.run, connections=1, report=told.append)
    with_connections(database, 1)
    waiting = loop.begin(lambda: database.ask(SLEEP))
    wait_until(lambda: backends(mortal, "active"), "the server works for it")
    mortal.kill_everything()
    carried = loop.left_to_thread(waiting)
    assert isinstance(carried, Deadline)
    assert told == [], "it is held until a thread has its answer"
    with ThreadPoolExecutor(1) as thread:
        answers = thread.submit(go_on, carried, lambda: [database.ask(ONE), database.ask(ONE)])
        mortal.start().wait_until_serving()
        assert answers.result() == [[(1,)], [(1,)]]
    wait_until(lambda: told, "the hold is told")
    assert loop.run(lambda: database.ask(ONE)) == [(1,)]
    assert [(hold.requests, hold.given_up) for hold in told] == [(1, 0)]


def test_a_lookup_that_a_frozen_server_does_not_answer_is_given_up(
    server: PostgresProgram,
    open_database: Open,
    loop: Loop,
    add: AddThing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("appliance.database.units_of_work.RUN_LIMIT_S", 1.5)
    told: list[Hold] = []
    database = open_database(
        server.storage.run, hold_seconds=0.5, connections=1, report=told.append
    )
    with_connections(database, 1)
    with server.connect("appliance") as owner, owner.transaction():
        owner.execute("LOCK TABLE counters")
        waiting = loop.begin(lambda: database.ask(COUNTERS))
        add.backends = wait_until(lambda: backends(server, "active"), "the server works for it")
        add.freeze_backend()
    carried = loop.left_to_thread(waiting)
    with ThreadPoolExecutor(1) as thread, pytest.raises(DatabaseUnavailable) as failure:
        thread.submit(go_on, carried, lambda: database.ask(COUNTERS)).result()
    assert failure.value.outcome == NOTHING_CHANGED
    wait_until(lambda: told, "the hold is told")
    add.thaw_backend()
    wait_until(lambda: not processes.alive(add.backends[0]), "its server process ends")
    assert database.ask(ONE) == [(1,)], "the turn was given back"
    assert [(hold.requests, hold.given_up) for hold in told] == [(1, 1)]
    assert told[0].longest_ms >= 1500 - 100, "it was held from its beginning"


def go_on(carried: object, work: Callable[[], Any]) -> Any:
    """Do it, as the thread does that takes over from the loop."""
    event_loop.carry_over(carried)
    return work()
