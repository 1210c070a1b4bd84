"""Clients that go on until they are stopped, and send again what fails."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from load.client import RequestFailed, Retry
from load.generator import LoadGenerator
from load.http_request import HttpRequest, get
from load.own_process import Port, Traffic, keep_asking
from load.switch import Switch
from tests.harness.waiting import wait_until
from tests.load.fake_server import FakeServer, answered

READ, WRITE = get("/"), HttpRequest("write", "POST", "/", 201, "{}")


def asking(server: FakeServer, *requests: HttpRequest) -> LoadGenerator[Port]:
    """One client that asks the server; its last request has its answer when `with` is left."""
    return keep_asking(server.backend, "key", requests, 1)


def test_a_request_that_fails_is_repeated_with_its_number_and_lasts_until_its_answer() -> None:
    server = FakeServer(b"", answered("503"))
    with asking(server, WRITE, READ) as load:
        wait_until(lambda: len(load.outcomes.samples) > 1, "the second request")
    first, second = load.outcomes.samples[:2]
    assert (first.failures, first.writes) == (2, True)
    assert first.seconds > 0.02
    assert len(set(server.received[:3])) == 1
    assert b"Idempotency-Key: " in server.received[0]
    assert second.failures == 0
    assert load.outcomes.failures == []


def test_a_request_that_is_under_way_at_the_end_lasts_until_its_answer() -> None:
    server = FakeServer(refusing=True)
    load = asking(server, READ).__enter__()
    wait_until(lambda: server.received, "the first attempt")
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(load.__exit__, None, None, None)
        wait_until(load._loop._over.is_set, "it is told to end")
        so_far = len(server.received)
        wait_until(lambda: len(server.received) > so_far + 1, "it to be sent again")
        assert load.outcomes.samples == []
        server.refusing = False
        end.result()
    (last,) = load.outcomes.samples
    assert last.failures > 0


def test_reads_and_writes_alternate() -> None:
    with asking(FakeServer(), READ, WRITE) as load:
        wait_until(lambda: len(load.outcomes.samples) > 5, "six answers")
    assert [one.writes for one in load.outcomes.samples[:6]] == [False, True] * 3


def test_one_that_never_succeeds_is_an_error() -> None:
    server = FakeServer(refusing=True)
    retry = Retry[Port](lambda _: "failed", pause_s=0.01, limit_s=0.05)
    switch = Switch(server.backend)
    load = LoadGenerator(switch, "key", lambda _: READ, clients=1, retry=retry)
    with pytest.raises(RequestFailed, match=r"no success in 0\.05 s: .* 503"), load:
        wait_until(lambda: load.outcomes.failures, "it gives up")


def test_in_a_process_of_its_own_it_moves_from_one_backend_to_another() -> None:
    old, new = FakeServer(), FakeServer()
    with Traffic(old.backend.number, "key", [READ, WRITE], 1) as traffic:
        wait_until(lambda: len(old.received) > 4, "the first is asked")
        traffic.move(new.backend.number)
        so_far = len(old.received)
        wait_until(lambda: len(new.received) > 4, "the second is asked")
        samples = traffic.end()
    assert len(old.received) == so_far
    assert len(samples) == len(old.received) + len(new.received)
    assert not any(sample.failures for sample in samples)
