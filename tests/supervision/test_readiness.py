"""/up says yes only when a request would be served, the schema included."""

from collections.abc import Callable

import pytest

from appliance.migrations.runner import ADVISORY_LOCK
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

Make = Callable[..., Appliance]
FORGET_THE_LAST_MIGRATION = """
    CREATE TABLE forgotten AS SELECT * FROM appliance.engine_ledger ORDER BY number DESC LIMIT 1;
    DELETE FROM appliance.engine_ledger WHERE number IN (SELECT number FROM forgotten)
"""
REMEMBER_IT = "INSERT INTO appliance.engine_ledger SELECT * FROM forgotten"
END_THE_APIS_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
)


def test_up_is_never_200_before_the_schema_is_in_sync(make_appliance: Make) -> None:
    # One worker: each remembers for itself that the schema was in sync.
    owner = make_appliance(WEB_WORKERS="1").start().wait_until_up()
    with owner.connect() as migrating:
        migrating.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))
        migrating.execute(FORGET_THE_LAST_MIGRATION)
        behind = make_appliance().start()
        wait_until(lambda: behind.status("/health") == 200, "its API runs")
        assert [behind.status("/up") for _ in range(10)] == [503] * 10
        assert behind.status("/api/accounts") == 503
        assert owner.status("/up") == 200, "migrations go forward only: its schema suffices"
        migrating.execute(REMEMBER_IT)
        migrating.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))
        behind.wait_until_up()


@pytest.mark.first_start
def test_who_asks_up_during_the_very_first_start_leaves_no_faults_in_the_log(
    make_appliance: Make,
) -> None:
    starting = make_appliance().start()
    starting.wait_until_up()
    assert "does not exist" not in starting.log


@pytest.mark.first_start
def test_from_the_first_moment_up_is_refused_or_503_until_it_is_200(make_appliance: Make) -> None:
    starting = make_appliance().start()
    seen: list[int] = []

    def up() -> bool:
        seen.append(starting.status("/up"))
        return seen[-1] == 200

    wait_until(up, "200 on /up", 60)
    assert set(seen) <= {0, 503, 200}
    with starting.connect("app") as connection:
        assert connection.execute("SELECT count(*) FROM accounts").fetchone() == (0,)


def test_up_turns_503_while_the_database_is_away_and_health_stays_200(
    make_appliance: Make,
) -> None:
    running = make_appliance().start().wait_until_up()
    with running.connect("postgres") as connection:
        running.storage.socket.rename(running.storage.run / "aside")
        connection.execute(END_THE_APIS_CONNECTIONS)
    assert running.status("/up") == 503
    assert running.status("/health") == 200
    (running.storage.run / "aside").rename(running.storage.socket)
    running.wait_until_up()
