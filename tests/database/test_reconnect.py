"""Connecting to Postgres again: at once when there is a new one, and not for ever."""

import os
import socket
import threading
import time
from pathlib import Path

import psycopg
import pytest

from appliance.database.reconnect import ReconnectPause
from tests.harness.waiting import wait_until

STOPPING = psycopg.OperationalError("FATAL:  the database system is shutting down")
REFUSED = psycopg.OperationalError("connection failed: Connection refused")


class Clock:
    """Stands in for `time`: it stays where it is, and remembers the pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def path(storage_folder: Path) -> Path:
    """Where the socket will be."""
    storage_folder.mkdir()
    return storage_folder / ".s.PGSQL.5432"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks for a new socket looks for longer than any test takes."""
    monkeypatch.setattr("appliance.database.reconnect._LOOK_FOR_S", 600.0)


def seconds(pause: ReconnectPause, refusal: psycopg.OperationalError) -> float:
    started = time.monotonic()
    pause.wait(refusal)
    return time.monotonic() - started


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("refusal", [REFUSED, STOPPING])
def test_where_no_socket_was_it_returns_when_there_is_one(
    path: Path, refusal: psycopg.OperationalError
) -> None:
    pause = ReconnectPause(path)
    opening = threading.Timer(0.1, make_socket, [path])
    opening.start()
    pause.wait(refusal)
    assert path.exists()
    opening.join()


@pytest.mark.usefixtures("patient")
def test_the_socket_of_a_server_that_stops_is_waited_out_until_another_is_there(path: Path) -> None:
    make_socket(path)
    pause, replaced = ReconnectPause(path), threading.Event()

    def replace() -> None:
        path.unlink()
        replaced.set()
        make_socket(path)

    threading.Timer(0.1, replace).start()
    pause.wait(STOPPING)
    assert replaced.is_set(), "that there is none is nothing to connect to"
    assert path.exists()


@pytest.mark.usefixtures("patient")
def test_a_new_socket_with_the_number_of_the_old_one_is_a_new_one(path: Path) -> None:
    make_socket(path)
    before, pause = path.stat(), ReconnectPause(path)
    wait_until(lambda: same_number_again(path).st_ctime_ns != before.st_ctime_ns, "time goes on")
    assert path.stat().st_ino == before.st_ino
    pause.wait(STOPPING)


def test_a_socket_where_a_server_starts_is_knocked_at_soon_and_later_less_often(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_socket(path)
    clock = Clock()
    monkeypatch.setattr("appliance.database.reconnect.time", clock)
    pause = ReconnectPause(path)
    for _knock in range(30):
        pause.wait(REFUSED)
    assert clock.pauses[:8] == [0.005] * 8
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 0.05


@pytest.mark.parametrize("there", [False, True])
def test_it_waits_for_half_a_second_at_most(path: Path, there: bool) -> None:
    if there:
        make_socket(path)
    pause = ReconnectPause(path)
    for _ in range(2):
        # The rest is for a busy machine.
        assert 0.5 <= seconds(pause, STOPPING) < 5


def test_a_socket_it_has_seen_is_not_new_the_next_time(path: Path) -> None:
    pause = ReconnectPause(path)
    make_socket(path)
    assert seconds(pause, STOPPING) < 0.5
    assert seconds(pause, STOPPING) >= 0.5


def same_number_again(path: Path) -> os.stat_result:
    """Replace the socket by one with the same number, as a file system may."""
    aside = path.with_name("aside")
    path.rename(aside)
    aside.rename(path)
    return path.stat()
