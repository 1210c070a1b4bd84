"""gunicorn's worker as we harden it."""

import gc
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.workers import gthread

from appliance.api import client_socket, gunicorn_worker
from appliance.api.client_connection import FIRST_BYTE_TIMEOUT_S, ClientConnection
from appliance.api.client_socket import STALL_TIMEOUT_S, ClientSocket
from appliance.api.gunicorn_server import KEEP_ALIVE_S, options


@pytest.fixture
def connection() -> Iterator[ClientConnection]:
    config = Config()
    for name, value in options(listener_fd=3, workers=1, threads=2).items():
        config.set(name, value)
    near, far = socket.socketpair()
    with near, far:
        made = ClientConnection(config, near, ("127.0.0.1", 1), ("127.0.0.1", 80))
        with made.sock:
            yield made


def test_a_connection_that_sent_nothing_is_not_kept_as_long_as_one_that_did(
    connection: ClientConnection,
) -> None:
    now = time.monotonic()
    connection.set_timeout()
    assert connection.timeout is not None
    assert connection.timeout - now < FIRST_BYTE_TIMEOUT_S + 5
    connection.init()
    connection.set_timeout()
    assert connection.timeout - now > KEEP_ALIVE_S - 5


def test_a_client_that_stalls_holds_a_thread_for_a_bounded_time(
    connection: ClientConnection,
) -> None:
    for _ in range(2):
        connection.sock.setblocking(True)  # as gunicorn does before each request
        connection.init()
        assert connection.sock.gettimeout() == STALL_TIMEOUT_S


def test_the_proxys_headers_can_change_nothing_before_the_app_sees_them() -> None:
    config = Config()
    for name, value in options(listener_fd=3, workers=1, threads=2).items():
        config.set(name, value)
    read = partial(RequestParser, config, source_addr=("127.0.0.1", 40000))
    head = b"GET /a HTTP/1.1\r\nHost: here\r\n"
    request = next(read([head + b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n\r\n"]))
    assert (request.scheme, request.path) == ("http", "/a")
    for header in (b"SCRIPT_NAME", b"PATH_INFO"):
        request = next(read([head + header + b": /b\r\n\r\n"]))
        assert (request.path, request.headers) == ("/a", [("HOST", "here")])
    assert config.timeout == 0


def test_workers_collect_garbage_although_the_app_was_loaded_without() -> None:
    gc.disable()
    try:
        options(listener_fd=3, workers=1, threads=2)["pre_fork"](None, None)
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ClientSocket, socket.socket]]:
    """Our end of a client's connection, and the client's, who may stall for a moment only."""
    monkeypatch.setattr(client_socket, "STALL_TIMEOUT_S", 0.2)
    near, far = socket.socketpair()
    with ClientSocket(near) as ours, far:
        far.setblocking(False)
        yield ours, far


def test_a_client_that_sends_nothing_is_waited_for_until_the_limit(
    pair: tuple[ClientSocket, socket.socket],
) -> None:
    ours, far = pair
    for _ in range(2):
        with pytest.raises(TimeoutError):
            ours.recv(10)
        ours.settimeout(0.05)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(10)
    ours.setblocking(True)
    far.send(b"late")
    assert ours.recv(10) == b"late"


def test_a_client_that_takes_nothing_is_waited_for_until_the_limit(
    pair: tuple[ClientSocket, socket.socket],
) -> None:
    with pytest.raises(TimeoutError):
        pair[0].sendall(bytes(10_000_000))


def test_the_head_of_an_answer_leaves_with_what_follows_it(
    pair: tuple[ClientSocket, socket.socket],
) -> None:
    ours, far = pair
    ours.hold_head()
    ours.sendall(b"head ")
    with pytest.raises(BlockingIOError):
        far.recv(100)
    ours.sendall(b"body")
    assert far.recv(100) == b"head body"
    ours.sendall(b"what is streamed is not held back")
    assert far.recv(100) == b"what is streamed is not held back"


def test_a_head_that_nothing_follows_leaves_at_the_end(
    pair: tuple[ClientSocket, socket.socket],
) -> None:
    ours, far = pair
    ours.hold_head()
    ours.sendall(b"head")
    ours.send_head()
    ours.send_head()
    assert far.recv(100) == b"head"


def test_a_file_comes_after_its_head(
    pair: tuple[ClientSocket, socket.socket], tmp_path: Path
) -> None:
    ours, far = pair
    (tmp_path / "file").write_bytes(b"content")
    ours.hold_head()
    ours.sendall(b"head ")
    with (tmp_path / "file").open("rb") as file:
        ours.sendfile(file)
    assert far.recv(100) == b"head content"


@pytest.mark.parametrize(
    ("alive", "handed_over", "sent", "requests"),
    [(True, 2, b"x", 3), (True, 3, b"x", 1), (False, 1, b"x", 1), (True, 1, b"", 1)],
    ids=["stays", "too many are at work", "stops", "nothing comes"],
)
def test_a_thread_stays_with_its_connection_while_others_are_free(
    connection: ClientConnection,
    monkeypatch: pytest.MonkeyPatch,
    alive: bool,
    handed_over: int,
    sent: bytes,
    requests: int,
) -> None:
    near, far = socket.socketpair()
    served: list[int] = []

    def serve(_worker: Any, _connection: Any) -> bool:
        served.append(1)
        return len(served) < 3

    monkeypatch.setattr(gthread.ThreadWorker, "handle", serve)
    ours = gunicorn_worker.Worker.__new__(gunicorn_worker.Worker)
    ours.alive, ours._handed_over, ours.cfg = alive, handed_over, SimpleNamespace(threads=4)
    with near, far:
        kept = ClientConnection(connection.cfg, near, ("127.0.0.1", 1), ("127.0.0.1", 80))
        kept.init()
        far.sendall(sent)
        kept_open = ours.handle(kept)
        kept.sock.close()
    assert len(served) == requests
    assert kept_open == (requests < 3)
