"""The clients forgive nothing but what we killed ourselves."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from load.client import RequestFailed
from load.http_request import HttpRequest, get
from load.outcomes import Outcomes
from load.writes import Writes
from tests.chaos.clients import Clients, client_of
from tests.chaos.containers import Container, Window
from tests.chaos.fleet import Fleet
from tests.chaos.timeline import Timeline
from tests.harness.waiting import wait_until

UNAVAILABLE = HttpRequest("what is refused", "GET", "/", 503)


class Refusing(BaseHTTPRequestHandler):
    """Answers everything with a 503, and closes connections that are idle."""

    protocol_version = "HTTP/1.1"
    timeout = 0.1

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815 - the name it looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """It has the port at once, and refuses connections until it serves. `open` are those it has."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Refusing, bind_and_activate=False)
        self.open: set[Any] = set()
        self.server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.open.discard(request)

    def serve(self) -> None:
        """Until it is shut down."""
        self.server_activate()
        self.serve_forever(0.05)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Its live container was never started: nobody listens there."""
    fleet = Fleet(tmp_path, Timeline())
    fleet.switch(Container("c1", tmp_path, fleet.timeline))
    return fleet


@contextmanager
def refusing_everything(container: Container, after_s: float = 0) -> Iterator[Server]:
    """At the container's port every answer is a 503; before that there is none."""
    server = Server(container.port)
    timer = threading.Timer(after_s, server.serve)
    timer.start()
    try:
        if not after_s:
            wait_until(lambda: container.status("/") == 503, "it answers")
        yield server
    finally:
        server.shutdown()
        server.server_close()
        timer.join()


def test_no_answer_of_a_container_that_nobody_killed_is_a_failure(fleet: Fleet) -> None:
    client = client_of(fleet, "key")
    with pytest.raises(RequestFailed, match=r"/ at .* after .*ConnectionRefusedError"):
        client.ask(get("/"))


def test_no_answer_of_one_that_was_killed_is_counted_and_sent_again(fleet: Fleet) -> None:
    fleet.living().note_killed()
    outcomes = Outcomes[Container]()
    with client_of(fleet, "key") as client, refusing_everything(fleet.living(), after_s=0.3):
        outcomes.record(client.send(UNAVAILABLE))
    assert outcomes.retried == {"container killed": 1}
    assert outcomes.failures == []
    (sample,) = outcomes.samples
    assert sample.failures > 0


def test_any_status_but_success_is_a_failure(fleet: Fleet) -> None:
    clients = Clients(fleet, Writes(), "key", [1, 2], seed=1)
    with refusing_everything(fleet.living()), clients:
        wait_until(lambda: len(clients.failures) == 6, "every client fails")
    assert all("c1: " in failure and "503" in failure for failure in clients.failures)


@pytest.mark.parametrize(
    ("since", "until", "covered"),
    [(0, 9, False), (0, 10, True), (11, 12, True), (20, 30, True), (20.1, 30, False)],
)
def test_a_window_excuses_only_requests_that_met_it(
    since: float, until: float, covered: bool
) -> None:
    assert Window("killed", 10.0, 20.0).covers(since, until) is covered


def test_a_window_that_is_open_excuses_what_comes_later() -> None:
    assert Window("killed", time.monotonic()).covers(time.monotonic(), time.monotonic() + 99)


def test_a_connection_that_is_closed_while_it_is_kept_is_a_failure(fleet: Fleet) -> None:
    client = client_of(fleet, "key")
    with refusing_everything(fleet.living()) as server:
        client.ask(UNAVAILABLE)
        wait_until(lambda: not server.open, "it closes what is idle")
        with pytest.raises(RequestFailed, match="a kept connection was closed"):
            client.ask(UNAVAILABLE)
