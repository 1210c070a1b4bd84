"""One database object, shared by threads, and left behind by a fork."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.database.connect import Connection
from appliance.database.units_of_work import Database
from tests.database.conftest import Open
from tests.database.units import counter
from tests.harness.postgres_program import PostgresProgram

CONNECTIONS = 8
INCREMENT = "UPDATE counters SET value = value + 1 WHERE id = %s"


def test_a_forked_process_does_not_speak_on_its_parents_connection(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    before = database.read(backend)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(database.read(backend)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        in_child = int(answer.read())
    os.waitpid(child, 0)
    assert in_child != before
    assert database.read(backend) == before, "the parent's connection is whole"


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads interrupt each other at every step."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("eager_switching")
def test_many_threads_share_it_and_every_write_counts_once(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)

    def write_many() -> None:
        for _number in range(40):
            database.write(lambda connection: connection.execute(INCREMENT, (1,)) and None)

    with ThreadPoolExecutor(8) as pool:
        for writer in [pool.submit(write_many) for _ in range(8)]:
            writer.result()
    assert counter(database, 1) == 320


@pytest.mark.usefixtures("eager_switching")
def test_the_first_requests_of_a_forked_process_may_come_all_at_once(
    server: PostgresProgram, open_database: Open
) -> None:
    database = open_database(server.storage.run)
    for _attempt in range(20):
        child = os.fork()
        if child == 0:
            os._exit(failures_at_once(database))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def failures_at_once(database: Database) -> int:
    """How many of some threads that begin together do not get their answer."""
    together = threading.Barrier(CONNECTIONS)

    def read() -> int:
        together.wait()
        return database.read(backend)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return sum(
            one.exception() is not None for one in [pool.submit(read) for _ in range(CONNECTIONS)]
        )


def backend(connection: Connection) -> int:
    return connection.info.backend_pid
