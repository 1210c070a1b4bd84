"""Redeploys: what is counted, and how it is compared."""

import doctest
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.redeploy import outcome, table
from bench.redeploy.load import Client, Switch
from bench.redeploy.outcome import Outcome, Request
from tests.harness.waiting import wait_until


def answered(status: str) -> bytes:
    """An answer without a body."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()


class FakeServer:
    """Answers the first attempts with `answers` (b"" hangs up), and then each as is right.

    While it is `refusing`, each gets a 503.
    """

    def __init__(self, *answers: bytes, refusing: bool = False) -> None:
        self.answers, self.refusing = list(answers), refusing
        self.received: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            while asked := connection.recv(4096):
                self.received.append(asked)
                if not (answer := self._answer(asked)):
                    break
                connection.sendall(answer)
            connection.close()

    def _answer(self, asked: bytes) -> bytes:
        if self.refusing:
            return answered("503")
        if self.answers:
            return self.answers.pop(0)
        return answered("201" if asked.startswith(b"POST") else "200")


@contextmanager
def asking(server: FakeServer, number: int) -> Iterator[tuple[Client, Switch]]:
    """A client that asks the server; its last request has its answer when the block is left."""
    switch = Switch(server.port)
    client = Client(number, switch, b"GET / @NUMBER@\r\n\r\n", b"POST / @NUMBER@\r\n\r\n")
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        yield client, switch
    finally:
        switch.ended.set()
        thread.join(10)
    assert not thread.is_alive()


def test_a_request_that_fails_is_repeated_with_its_number_and_lasts_until_its_answer() -> None:
    server = FakeServer(b"", answered("503"))
    with asking(server, 1) as (client, _):
        wait_until(lambda: len(client.requests) > 1, "the second request")
    first = client.requests[0]
    assert (first.failures, first.writes) == (2, True)
    assert first.ended - first.began > 0.02
    assert len(set(server.received[:3])) == 1
    assert client.requests[1].failures == 0


def test_a_request_that_is_under_way_at_the_end_lasts_until_its_answer() -> None:
    server = FakeServer(refusing=True)
    with asking(server, 0) as (client, switch):
        wait_until(lambda: server.received, "the first attempt")
        switch.ended.set()
        so_far = len(server.received)
        wait_until(lambda: len(server.received) > so_far + 1, "it to be sent again")
        assert client.requests == []
        server.refusing = False
    (last,) = client.requests
    assert last.failures > 0


def test_reads_and_writes_alternate() -> None:
    with asking(FakeServer(), 0) as (client, _):
        wait_until(lambda: len(client.requests) > 5, "six answers")
    assert [one.writes for one in client.requests[:6]] == [False, True] * 3


def test_a_move_waits_for_what_is_under_way_to_the_container_before() -> None:
    switch = Switch(1)
    assert switch.enter(0) == 1
    mover = threading.Thread(target=switch.move, args=(2,))
    mover.start()
    mover.join(0.1)
    assert mover.is_alive()
    assert switch.enter(1) == 2
    switch.leave(0)
    mover.join(5)
    assert not mover.is_alive()


def test_what_was_over_before_it_began_does_not_count() -> None:
    before, during = Request(0.0, 5.0, 2, False), Request(5.5, 6.5, 1, True)
    found = outcome.outcome([before, during], 6.0, 9.0, 500.0, {})
    assert (found.stall_ms, found.requests, found.failed) == (1000.0, 1, 1)


def test_a_run_in_which_nobody_asked_says_nothing() -> None:
    with pytest.raises(SystemExit):
        outcome.outcome([], 6.0, 9.0, 500.0, {})


def rows(**stalls: tuple[float, ...]) -> dict[str, list[Outcome]]:
    """Outcomes of every row; those not named stall for 100 ms in each of two rounds."""
    return {
        key: [Outcome(stall, 500.0, 9.0) for stall in stalls.get(key, (100.0, 100.0))]
        for key in table.ROWS
    }


def test_rows_are_compared_round_by_round() -> None:
    found = rows(planned=(50.0, 500.0), floor=(50.0, 250.0), lock_only=(500.0, 5000.0))
    compared = {one.name: one for one in table.comparisons(found)}
    assert compared["(a) / floor, after the load"].samples == (1.0, 2.0)
    assert compared["(a) / floor, after the load"].met
    assert compared["(c) / (a)"].samples == (10.0, 10.0)
    assert not compared["(a)"].met


def test_recovery_is_compared_by_what_comes_on_top_of_it() -> None:
    compared = table.comparisons(rows(owner_killed=(1100.0, 900.0), recovery=(1000.0, 850.0)))
    over = next(one for one in compared if one.name == "(b) - crash recovery")
    assert (over.samples, over.met) == ((100.0, 50.0), True)


def test_the_examples_are_true() -> None:
    result = doctest.testmod(outcome)
    assert result.attempted
    assert not result.failed
