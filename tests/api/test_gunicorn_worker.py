"""gunicorn's worker as we harden it."""

import socket
import time
from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from appliance.api import gunicorn_worker
from appliance.api.gunicorn_server import KEEP_ALIVE_S, options


@pytest.fixture
def connection() -> Iterator[gunicorn_worker.ClientConnection]:
    config = Config()
    for name, value in options(listener_fd=3, workers=1, threads=2).items():
        config.set(name, value)
    near, far = socket.socketpair()
    with near, far:
        yield gunicorn_worker.ClientConnection(config, near, ("127.0.0.1", 1), ("127.0.0.1", 80))


def test_a_connection_that_sent_nothing_is_not_kept_as_long_as_one_that_did(
    connection: gunicorn_worker.ClientConnection,
) -> None:
    now = time.monotonic()
    connection.set_timeout()
    assert connection.timeout is not None
    assert connection.timeout - now < gunicorn_worker.FIRST_BYTE_TIMEOUT_S + 5
    connection.init()
    connection.set_timeout()
    assert connection.timeout - now > KEEP_ALIVE_S - 5


def test_a_client_that_stalls_holds_a_thread_for_a_bounded_time(
    connection: gunicorn_worker.ClientConnection,
) -> None:
    for _ in range(2):
        connection.sock.setblocking(True)  # as gunicorn does before each request
        connection.init()
        assert connection.sock.gettimeout() == gunicorn_worker.STALL_TIMEOUT_S


def test_the_proxys_headers_can_change_nothing_before_the_app_sees_them() -> None:
    config = Config()
    for name, value in options(listener_fd=3, workers=1, threads=2).items():
        config.set(name, value)
    assert config.forwarded_allow_ips == []
    assert config.forwarder_headers == []
    assert config.secure_scheme_headers == {}
    assert config.timeout == 0
