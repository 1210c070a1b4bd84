"""Sessions that are not ours: a dump may end first, a long transaction may not."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from appliance.handoff.hand_over import DUMP_LIMIT_S
from appliance.postgres import binaries, config
from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.nightly import most_at_night
from tests.harness.waiting import wait_until


@contextmanager
def dump_that_waits(owner: Appliance) -> "Iterator[tuple[subprocess.Popen[bytes], Any]]":
    """A dump, and the session that holds a table for which it waits."""
    with closing(owner.connect()) as holder:
        holder.execute("CREATE TABLE held ()")
        holder.execute("BEGIN; LOCK TABLE held")
        with start_dump(owner) as dump:
            wait_until(lambda: waits_for_a_lock(owner, "pg_dump"), "the dump waits for the table")
            yield dump, holder


def start_dump(owner: Appliance) -> "subprocess.Popen[bytes]":
    """A real pg_dump, as a backup starts it."""
    where = ["-h", str(owner.storage.run), "-U", config.SUPERUSER, "-d", config.DATABASE]
    return subprocess.Popen(
        [binaries.program("pg_dump"), *where, "-f", os.devnull],
        env={**os.environ, "LD_LIBRARY_PATH": str(binaries.libraries())},
        stderr=subprocess.PIPE,
    )


def test_a_dump_that_is_under_way_ends_before_the_database_moves(
    owner: Appliance, make_appliance: Make
) -> None:
    new = make_appliance()
    with Load(owner) as load:
        with dump_that_waits(owner) as (dump, holder):
            new.start()
            scene.wait_for_line(owner, "a dump is running")
            assert dump.poll() is None
            holder.execute("COMMIT")
            assert dump.wait(DUMP_LIMIT_S) == 0
        new.wait_until_up()
        load.wait_for_more()
    load.verify(new)
    scene.assert_roles(new, owner)
    assert "a dump is running" in owner.log
    [record] = scene.status(new)["database"]["handoffs"]
    assert record["requests_given_up"] == 0


def test_a_dump_without_an_end_is_given_its_time_and_not_more(
    owner: Appliance, make_appliance: Make
) -> None:
    new = make_appliance()
    with Load(owner) as load:
        with dump_that_waits(owner) as (dump, _holder):
            new.start().wait_until_up()
            assert dump.wait(DUMP_LIMIT_S) != 0
        load.wait_for_more()
    load.verify(new)
    scene.assert_roles(new, owner)
    assert "the dump goes on; it will fail" in owner.log
    [record] = scene.status(new)["database"]["handoffs"]
    assert DUMP_LIMIT_S * 1000 <= record["phases_ms"]["dump"] < (DUMP_LIMIT_S + 5) * 1000


def idle_in_transaction(connection: Any) -> None:
    connection.execute("BEGIN; SELECT count(*) FROM accounts")


def asleep_for_ten_minutes(connection: Any) -> None:
    def sleep() -> None:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(600)")

    threading.Thread(target=sleep, daemon=True).start()


@pytest.mark.parametrize(
    "occupy",
    most_at_night([idle_in_transaction, asleep_for_ten_minutes], [asleep_for_ten_minutes]),
)
def test_a_foreign_transaction_does_not_hold_the_database_back(
    owner: Appliance, make_appliance: Make, occupy: Callable[[Any], None]
) -> None:
    connection = owner.connect()
    pid = connection.info.backend_pid
    occupy(connection)
    with Load(owner) as load:
        new = make_appliance().start().wait_until_up()
        load.wait_for_more()
    load.verify(new)
    scene.assert_roles(new, owner)
    [record] = scene.status(new)["database"]["handoffs"]
    assert record["phases_ms"]["stop"] < 1000
    assert not processes.alive(pid)


def waits_for_a_lock(owner: Appliance, program: str) -> bool:
    with owner.connect(config.SUPERUSER) as watching:
        row = watching.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = %s "
            "AND wait_event_type = 'Lock'",
            (program,),
        ).fetchone()
    return row is not None
