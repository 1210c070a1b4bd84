"""The whole server is killed during COMMIT: the token tells what became of the write."""

import signal
import threading
from pathlib import Path

import pytest

from appliance.database.connect import Connection
from appliance.database.holds import NOTHING_CHANGED, UNKNOWN, DatabaseUnavailable
from tests.database.conftest import Open, connect_as_api
from tests.database.proxy import CommitProxy, Cut
from tests.database.units import AddThing, Background, things
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until


def test_a_commit_that_a_crash_kept_is_found_by_its_token(
    mortal: PostgresProgram, open_database: Open
) -> None:
    add = AddThing()
    with CommitProxy(mortal.storage.socket) as proxy:
        proxy.cuts, proxy.after_cut = [Cut.AFTER_COMMIT_WAS_ANSWERED], mortal.kill_everything
        write = Background(open_database(proxy.folder), add)
        wait_until(lambda: mortal.wait() == -signal.SIGKILL, "it was killed")
        mortal.start().wait_until_serving()
        assert write.result() == 1
    assert (add.runs, things(mortal)) == (1, ["thing"])


def test_a_commit_that_a_crash_lost_is_run_again(
    mortal: PostgresProgram, open_database: Open
) -> None:
    add = AddThing()
    with CommitProxy(mortal.storage.socket) as proxy:
        proxy.cuts, proxy.before_cut = [Cut.AFTER_COMMIT_ARRIVED], add.freeze_backend
        proxy.after_cut = mortal.kill_everything
        write = Background(open_database(proxy.folder), add)
        wait_until(lambda: mortal.wait() == -signal.SIGKILL, "it was killed")
        mortal.start().wait_until_serving()
        assert write.result() == 2
    assert (add.runs, things(mortal)) == (2, ["thing"])


def test_the_token_decides_also_when_the_lost_number_was_given_to_another_transaction(
    mortal: PostgresProgram, open_database: Open
) -> None:
    add, others_have_written = AddThing(), threading.Event()

    def connect(folder: Path) -> Connection:
        if add.runs:
            assert others_have_written.wait(60)
        return connect_as_api(folder)

    with CommitProxy(mortal.storage.socket) as proxy:
        proxy.cuts, proxy.before_cut = [Cut.AFTER_COMMIT_ARRIVED], add.freeze_backend
        proxy.after_cut = mortal.kill_everything
        write = Background(open_database(proxy.folder, connect=connect), add)
        wait_until(lambda: mortal.wait() == -signal.SIGKILL, "it was killed")
        mortal.start().wait_until_serving()
        use_up_transaction_numbers(mortal)
        others_have_written.set()
        assert write.result() == 2
    assert (add.runs, things(mortal)) == (2, ["thing"])


def test_at_the_deadline_a_write_that_was_never_committed_says_that_nothing_changed(
    mortal: PostgresProgram, open_database: Open
) -> None:
    database = open_database(mortal.storage.run, hold_seconds=0.5)
    database.read(lambda connection: connection.execute("SELECT 1").fetchone())
    mortal.kill_everything()
    with pytest.raises(DatabaseUnavailable) as failure:
        database.write(AddThing())
    assert failure.value.outcome == NOTHING_CHANGED
    assert failure.value.retry_after_s > 0
    mortal.start().wait_until_serving()
    assert things(mortal) == []


def test_at_the_deadline_a_commit_that_cannot_be_looked_up_is_said_to_be_unknown(
    mortal: PostgresProgram, open_database: Open
) -> None:
    with CommitProxy(mortal.storage.socket) as proxy:
        proxy.cuts, proxy.after_cut = [Cut.AFTER_COMMIT_WAS_ANSWERED], mortal.kill_everything
        with pytest.raises(DatabaseUnavailable) as failure:
            open_database(proxy.folder, hold_seconds=0.5).write(AddThing())
    assert failure.value.outcome == UNKNOWN
    mortal.start().wait_until_serving()
    assert things(mortal) == ["thing"]


def use_up_transaction_numbers(server: PostgresProgram) -> None:
    with connect_as_api(server.storage.run) as other:
        for _ in range(200):
            other.execute("UPDATE counters SET value = value + 1 WHERE id = 1")
