"""SIGTERM and Ctrl-C take everything down cleanly, whatever is going on."""

import os
import pty
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.fast import skip_if_fast
from tests.harness.waiting import wait_until

CHECKOUT = Path(__file__).parents[2]
STAMP = ".venv/runtime.stamp"


def test_sigterm_ends_everything_in_time_with_open_connections_and_dirty_buffers(
    make_appliance: Callable[..., Appliance],
) -> None:
    running = make_appliance().start().wait_until_up()
    family = processes.descendants(running.process.pid)
    kept = requests.Session()
    kept.get(running.url + "/health", timeout=10)
    idle = socket.create_connection(("127.0.0.1", running.port))
    with running.connect() as connection:
        connection.execute("CREATE TABLE dirty AS SELECT generate_series(1, 500000) AS number")
    writer = running.connect()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO dirty VALUES (-1)")
    started = time.monotonic()
    assert running.stop(timeout_s=10) == 0
    assert time.monotonic() - started < 10
    assert [p.pid for p in family if processes.alive(p.pid)] == []
    assert "database system is shut down" in running.log
    idle.close()
    again = make_appliance().start().wait_until_up()
    assert "not properly shut down" not in again.log
    with again.connect() as connection:
        assert connection.execute("SELECT count(*), min(number) FROM dirty").fetchone() == (
            500000,
            1,
        )


@pytest.mark.first_start
def test_sigterm_during_the_start_ends_everything(
    make_appliance: Callable[..., Appliance],
) -> None:
    running = make_appliance().start()
    wait_until(lambda: processes.descendants(running.process.pid), "the first program runs")
    assert running.stop(timeout_s=10) == 0
    assert processes.postgres_processes(running.storage.pgdata) == []
    make_appliance().start().wait_until_up()


def test_ctrl_c_stops_make_up_and_a_second_make_up_finds_its_data(storage_folder: Path) -> None:
    skip_if_fast()
    if subprocess.run(["make", "-q", STAMP], cwd=CHECKOUT, check=False).returncode != 0:
        pytest.skip("the environment is older than its pins; run it with make test")
    looked_at = Appliance(storage_folder)
    with make_up(looked_at) as (first, terminal, _):
        looked_at.wait_until_up()
        with looked_at.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.write(terminal, b"\x03")
        first.wait(15)
        assert processes.postgres_processes(looked_at.storage.pgdata) == []
    with make_up(looked_at) as (second, terminal, output):
        looked_at.wait_until_up()
        with looked_at.connect() as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        os.write(terminal, b"\x03")
        second.wait(15)
        assert processes.postgres_processes(looked_at.storage.pgdata) == []
        wait_until(lambda: b"database system is shut down" in b"".join(output), "it says so")
        assert b"not properly shut down" not in b"".join(output)
        assert b"Traceback" not in b"".join(output)


@contextmanager
def make_up(
    looked_at: Appliance,
) -> Iterator[tuple["subprocess.Popen[str]", int, list[bytes]]]:
    """`make up` in a terminal of its own: the process, the terminal and what it prints."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        ["make", "up"],
        cwd=CHECKOUT,
        env=looked_at.environment,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        text=True,
        start_new_session=True,
        # The terminal sends Ctrl-C to its foreground processes: it must be this session's.
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509 - it only calls the kernel
    )
    os.close(inside)
    output: list[bytes] = []
    threading.Thread(target=_read, args=(terminal, output), daemon=True).start()
    looked_at._process = process
    try:
        yield process, terminal, output
    finally:
        looked_at.kill_everything()


def _read(terminal: int, output: list[bytes]) -> None:
    try:
        while data := os.read(terminal, 4096):
            output.append(data)
    except OSError:
        return
    finally:
        os.close(terminal)
