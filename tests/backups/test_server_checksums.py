"""What a running database holds: read in several pieces, equal to what pg_dump says of it."""

import stat
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from appliance.backups.server import pg_tools, server_checksums
from appliance.database.connect import reason
from tests.backups import scene
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

ROWS = 100_000
SECONDS = 30.0
_END_WAITING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
)


@pytest.fixture
def furnished(shared: Appliance) -> Iterator[Appliance]:
    """With a large table, and one that is large and has an owned sequence."""
    with shared.connect() as connection:
        connection.execute(
            "CREATE TABLE wide AS SELECT n, repeat('é', 50) AS t, n * 0.1 AS f "
            "FROM generate_series(1, 100000) n"
        )
        connection.execute("CREATE TABLE counted (id bigserial, t text)")
        connection.execute("INSERT INTO counted (t) SELECT t FROM wide")
    yield shared
    with shared.connect() as connection:
        connection.execute("DROP TABLE wide, counted")


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_large_tables_are_read_through_pipes_and_everything_is_as_pg_dump_says(
    furnished: Appliance, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    piped = []
    copy = server_checksums._copy

    def noted(*words: Any) -> Any:
        piped.append(words[1].name)
        return copy(*words)

    monkeypatch.setattr(server_checksums, "_copy", noted)
    found = server_checksums.read_database(furnished.storage.run, "appliance", jobs)
    assert found == pg_tools.read_database(furnished.storage.run, "appliance")
    assert sorted(piped) == ["public.counted", "public.wide"]
    assert {one.name: one.rows for one in found.tables}["public.wide"] == ROWS
    assert _pipes(furnished.storage.run) == []


def test_if_one_table_cannot_be_read_nobody_waits_for_the_others(shared: Appliance) -> None:
    run = shared.storage.run
    names = deque(server_checksums._Large(f"public.{name}", "") for name in ("gone", "accounts"))
    with scene.held(shared):
        with (
            server_checksums._session(run, "appliance") as one,
            server_checksums._session(run, "appliance") as other,
            pytest.raises(psycopg.errors.UndefinedTable, match=r"public\.gone"),
        ):
            server_checksums._read_together([one, other], run, names, lambda: None)
        assert not names
    assert _pipes(run) == []


def test_a_server_that_dies_meanwhile_ends_the_reading(shared: Appliance) -> None:
    run, said, looks = shared.storage.run, [], []
    waiting = deque([server_checksums._Large("public.accounts", "")])

    def read() -> None:
        with server_checksums._session(run, "appliance") as connection:
            try:
                server_checksums._read_together([connection], run, waiting, lambda: looks.append(1))
            except psycopg.errors.AdminShutdown as error:
                said.append(reason(error))

    with scene.held(shared):
        reader = threading.Thread(target=read)
        reader.start()
        scene.wait_until_held(shared)
        wait_until(lambda: len(looks) > 1, "somebody looks how far it is")
        with shared.connect("postgres", "postgres") as connection:
            connection.execute(_END_WAITING)
        reader.join(SECONDS)
    assert said == ["terminating connection due to administrator command"]
    assert _pipes(run) == []


def test_a_database_of_another_encoding_is_read_too(shared: Appliance) -> None:
    with shared.connect("postgres", "postgres") as connection:
        connection.execute("CREATE DATABASE western ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    try:
        with shared.connect("postgres", "western") as connection:
            connection.execute(
                "CREATE TABLE \"é\" AS SELECT repeat('ü', 50) AS t, n "
                "FROM generate_series(1, 50000) n"
            )
        found = server_checksums.read_database(shared.storage.run, "western", 2)
        [table] = found.tables
        assert (table.name, table.rows) == ('public."\\xe9"', 50_000)
    finally:
        with shared.connect("postgres", "postgres") as connection:
            connection.execute("DROP DATABASE western")


def _pipes(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if stat.S_ISFIFO(path.stat().st_mode)]
