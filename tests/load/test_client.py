"""A client sends each request once, keeps its connections, and hides nothing."""

import doctest
from types import ModuleType

import pytest

from load import http_request, latency, writes
from load.client import Client, RequestFailed
from load.epoll_loop import drive
from load.http_request import HttpRequest, get
from load.outcomes import NOTHING_CHANGED, RequestOutcome
from load.own_process import Port
from load.switch import Switch
from tests.load.fake_server import FakeServer, answered

WRITE = HttpRequest("write", "POST", "/", 201, "{}")


def client_of(*servers: FakeServer) -> Client[Port]:
    """A client that asks these in turn, each request once."""
    return Client(Switch(*(server.backend for server in servers)), "key", limit_s=1.0)


@pytest.mark.parametrize(
    ("request_", "answer", "outcome"),
    [
        (get("/"), answered("200"), RequestOutcome.ACKNOWLEDGED),
        (WRITE, answered("201"), RequestOutcome.ACKNOWLEDGED),
        (get("/"), answered("503"), RequestOutcome.FAILED),
        (get("/"), b"", RequestOutcome.FAILED),
        (WRITE, answered("503"), RequestOutcome.IN_DOUBT),
        (WRITE, b"", RequestOutcome.IN_DOUBT),
        (WRITE, b"HTTP/1.1 201 X\r\nContent-Length: 9\r\n\r\nhalf", RequestOutcome.IN_DOUBT),
        (WRITE, answered("503", body=NOTHING_CHANGED), RequestOutcome.REFUSED),
    ],
)
def test_each_request_is_sent_once_and_has_one_outcome(
    request_: HttpRequest, answer: bytes, outcome: RequestOutcome
) -> None:
    server = FakeServer(answer)
    with client_of(server) as client:
        assert client.send(request_).outcome is outcome
    assert len(server.received) == 1


def test_what_must_succeed_says_what_was_answered() -> None:
    said = r"/ at http://127.0.0.1:\d+ after .* s: 503 Go away"
    server = FakeServer(answered("503", body="Go away"))
    with client_of(server) as client, pytest.raises(RequestFailed, match=said):
        client.ask(get("/"))


def test_a_connection_is_kept_unless_the_server_says_that_it_closes_it() -> None:
    server = FakeServer(answered("200"), answered("200", "Connection: close"))
    with client_of(server) as client:
        for _ in range(4):
            client.ask(get("/"))
    assert (len(server.received), server.connections) == (4, 2)


def test_each_of_several_backends_gets_reads_and_writes() -> None:
    servers = FakeServer(), FakeServer()
    with client_of(*servers) as client:
        for request in (get("/"), WRITE) * 8:
            client.ask(request)
    for server in servers:
        assert {asked.partition(b" ")[0] for asked in server.received} == {b"GET", b"POST"}


def test_a_response_has_headers_and_a_document() -> None:
    body = '{"detail": "so"}'
    with client_of(FakeServer(answered("200", "Retry-After: 5", body=body))) as client:
        response = client.ask(get("/"))
    assert (response.headers["retry-after"], response.document) == ("5", {"detail": "so"})


def test_the_loop_of_one_thread_sends_so_many_and_no_number_twice() -> None:
    server = FakeServer()
    message = WRITE.message("key")
    found = drive(server.backend.number, message, 201, clients=1, count=50, tag="a")
    assert len(set(server.received)) == 50
    assert 0 < found.p50_ms <= found.p99_ms


def test_the_loop_of_one_thread_takes_no_other_answer() -> None:
    server = FakeServer(answered("500"))
    with pytest.raises(SystemExit, match="unexpected answer"):
        drive(server.backend.number, WRITE.message("key"), 201, clients=1, count=2, tag="a")


@pytest.mark.parametrize("module", [http_request, latency, writes], ids=lambda one: one.__name__)
def test_the_examples_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
