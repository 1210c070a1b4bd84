"""Requests go where the switch says, and it knows which are under way."""

import threading

import pytest

from load.own_process import Port
from load.switch import Switch

OLD, NEW = Port(1), Port(2)


def test_a_move_waits_for_what_is_under_way_to_the_backend_before() -> None:
    switch = Switch(OLD)
    with switch.request() as first:
        assert first == OLD
        mover = threading.Thread(target=switch.move, args=(NEW,))
        mover.start()
        mover.join(0.1)
        assert mover.is_alive()
        later = switch.request()
        assert later.__enter__() == NEW
    mover.join(5)
    assert not mover.is_alive()
    later.__exit__(None, None, None)


def test_one_that_is_not_drained_in_time_is_told() -> None:
    switch = Switch(OLD)
    with switch.request(), pytest.raises(TimeoutError, match="has 1 requests in flight"):
        switch.drain(OLD, 0.01)


def test_while_there_is_no_backend_requests_wait() -> None:
    switch, served = Switch[Port](), list[Port]()

    def ask() -> None:
        with switch.request() as backend:
            served.append(backend)

    waiting = threading.Thread(target=ask)
    waiting.start()
    waiting.join(0.1)
    assert served == []
    switch.switch(NEW)
    waiting.join(5)
    assert served == [NEW]


def test_a_request_that_finds_no_backend_in_time_is_told() -> None:
    with (
        pytest.raises(TimeoutError, match="there is no backend"),
        Switch[Port](limit_s=0.01).request(),
    ):
        pass


def test_a_stall_is_seen_when_every_client_has_waited_for_so_long() -> None:
    switch = Switch(OLD)
    seen = threading.Thread(target=switch.wait_until_stalled, args=(2, 0.05))
    with switch.request():
        seen.start()
        seen.join(0.2)
        assert seen.is_alive()
        with switch.request():
            seen.join(5)
            assert not seen.is_alive()


def test_clients_that_are_answered_are_not_stalled() -> None:
    switch = Switch(OLD, limit_s=0.05)
    with switch.request(), pytest.raises(TimeoutError, match="no 2 requests were in flight"):
        switch.wait_until_stalled(2, 0.01)
