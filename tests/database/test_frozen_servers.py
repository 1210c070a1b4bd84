"""A server that is frozen never answers: the unit is given up, with the truth about its write."""

import threading
import time
from collections.abc import Iterator

import pytest

from appliance.database.connect import Connection
from appliance.database.holds import NOTHING_CHANGED, UNKNOWN, DatabaseUnavailable
from tests.database.conftest import Open
from tests.database.proxy import CommitProxy, Cut
from tests.database.units import AddThing, Background, things
from tests.harness import processes
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

RUN_LIMIT_S = 1.5


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.database.units_of_work.RUN_LIMIT_S", RUN_LIMIT_S)


@pytest.fixture
def add() -> Iterator[AddThing]:
    """A write whose server process goes on at the end, whatever happens."""
    unit = AddThing()
    yield unit
    unit.thaw_backend()


@pytest.mark.parametrize("row_is_written", [False, True])
def test_a_unit_that_is_frozen_before_commit_changed_nothing(
    server: PostgresProgram, open_database: Open, add: AddThing, row_is_written: bool
) -> None:
    frozen = threading.Event()

    def freeze_on_the_way(connection: Connection) -> None:
        if row_is_written:
            add(connection)
        add.freeze(connection)
        frozen.set()
        add(connection)

    database = open_database(server.storage.run, hold_seconds=0.5)
    write, started = Background(database, freeze_on_the_way), time.monotonic()
    assert frozen.wait(30)
    database.write(AddThing("of another"))
    with pytest.raises(DatabaseUnavailable) as failure:
        write.result()
    assert time.monotonic() - started >= RUN_LIMIT_S - 0.1, "it had its time"
    assert failure.value.outcome == NOTHING_CHANGED
    add.thaw_backend()
    wait_until(lambda: not processes.alive(add.backends[0]), "its server process ends")
    assert things(server) == ["of another"]
    assert database.write(AddThing("the next")) == 1


def test_a_unit_whose_commit_is_frozen_says_that_it_is_not_known(
    server: PostgresProgram, proxy: CommitProxy, open_database: Open, add: AddThing
) -> None:
    given_up = threading.Event()
    proxy.cuts, proxy.before_cut = [Cut.AFTER_COMMIT_ARRIVED], add.freeze_backend

    def cut_nothing_before_the_client_gives_up() -> None:
        given_up.wait(60)

    proxy.after_cut = cut_nothing_before_the_client_gives_up
    with pytest.raises(DatabaseUnavailable) as failure:
        open_database(proxy.folder, hold_seconds=0.5).write(add)
    given_up.set()
    assert failure.value.outcome == UNKNOWN
    assert (add.runs, things(server)) == (1, [])
    add.thaw_backend()
    wait_until(lambda: things(server) == ["thing"], "the frozen COMMIT was applied after all")


def test_a_probe_of_a_frozen_server_ends_soon(
    server: PostgresProgram, open_database: Open, add: AddThing
) -> None:
    def freeze(connection: Connection) -> None:
        add.freeze(connection)
        connection.execute("SELECT 1")

    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        open_database(server.storage.run).probe(freeze, 0.1)
    assert time.monotonic() - started < RUN_LIMIT_S


def test_a_connection_that_was_given_back_in_time_is_not_cut(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    first = database.probe(lambda connection: connection.info.backend_pid, 0.5)
    over = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > over, "its limit has passed")
    assert database.read(lambda connection: connection.info.backend_pid) == first
