"""The connection is cut at every moment of a write; the write is applied exactly once."""

import os
import signal

import pytest

from appliance.database.connect import Connection
from appliance.database.holds import UNKNOWN, DatabaseUnavailable
from tests.database.conftest import Open
from tests.database.proxy import CommitProxy, Cut
from tests.database.units import AddThing, Background, things
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until


def test_a_unit_interrupted_before_commit_is_run_again(
    server: PostgresProgram, open_database: Open
) -> None:
    add = AddThing()

    def interrupted_once(connection: Connection) -> int:
        result = add(connection)
        if add.runs == 1:
            os.kill(connection.info.backend_pid, signal.SIGTERM)
            connection.execute("SELECT pg_sleep(60)")
        return result

    assert open_database(server.storage.run).write(interrupted_once) == 2
    assert things(server) == ["thing"]


def test_a_commit_that_never_arrived_is_run_again_and_applied_once(
    server: PostgresProgram, proxy: CommitProxy, open_database: Open
) -> None:
    add = AddThing()
    proxy.cuts = [Cut.BEFORE_COMMIT_ARRIVES] * 2
    assert open_database(proxy.folder).write(add) == 3
    assert (add.runs, things(server)) == (3, ["thing"])


@pytest.mark.parametrize("cut", [Cut.AFTER_COMMIT_ARRIVED, Cut.AFTER_COMMIT_WAS_ANSWERED])
def test_a_commit_whose_answer_was_lost_is_not_run_again(
    server: PostgresProgram, proxy: CommitProxy, open_database: Open, cut: Cut
) -> None:
    database = open_database(proxy.folder)
    for number in range(5):
        add = AddThing(f"thing {number}")
        proxy.cuts = [cut]
        assert database.write(add) == 1
        assert (add.runs, proxy.cuts) == (1, [])
    assert things(server) == [f"thing {number}" for number in range(5)]


def test_a_unit_that_wrote_nothing_is_simply_run_again(
    proxy: CommitProxy, open_database: Open
) -> None:
    proxy.cuts = [Cut.AFTER_COMMIT_WAS_ANSWERED]
    runs: list[int] = []
    open_database(proxy.folder).write(lambda _: runs.append(1))
    assert len(runs) == 2


def test_a_commit_still_in_progress_is_waited_for_and_not_guessed(
    server: PostgresProgram, proxy: CommitProxy, open_database: Open
) -> None:
    add = AddThing()
    proxy.before_cut, proxy.cuts = add.freeze_backend, [Cut.AFTER_COMMIT_ARRIVED]
    write = Background(open_database(proxy.folder), add)
    try:
        with server.connect("postgres") as watcher:
            times: set[object] = set()
            wait_until(lambda: len(asked(watcher, times)) > 9, "it asks for the outcome ten times")
        assert write.running
        assert things(server) == []
    finally:
        add.thaw_backend()
    assert write.result() == 1
    assert (add.runs, things(server)) == (1, ["thing"])


def test_a_commit_in_progress_until_the_deadline_is_truly_unknown(
    server: PostgresProgram, proxy: CommitProxy, open_database: Open
) -> None:
    add = AddThing()
    proxy.before_cut, proxy.cuts = add.freeze_backend, [Cut.AFTER_COMMIT_ARRIVED]
    write = Background(open_database(proxy.folder, hold_seconds=0.5), add)
    try:
        wait_until(lambda: not write.running, "it gives up", 10)
    finally:
        add.thaw_backend()
    with pytest.raises(DatabaseUnavailable) as failure:
        write.result()
    assert failure.value.outcome == UNKNOWN
    assert add.runs == 1
    wait_until(lambda: things(server) == ["thing"], "the frozen COMMIT was applied after all")


def asked(watcher: Connection, times: set[object]) -> set[object]:
    """Every time seen so far at which somebody asked whether a server process is gone."""
    query = "SELECT query_start FROM pg_stat_activity WHERE query LIKE %s AND pid <> %s"
    found = watcher.execute(
        query, ("%pg_stat_activity%backend_start = $2%", watcher.info.backend_pid)
    )
    times |= {row[0] for row in found}
    return times
