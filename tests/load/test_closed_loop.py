"""Each client has its next turn when the last is over."""

import threading
from collections import Counter

import pytest

from load.closed_loop import ClosedLoop
from tests.harness.waiting import wait_until


def test_a_bounded_loop_gives_out_each_number_once() -> None:
    numbers: list[int] = []
    ClosedLoop([numbers.append] * 4, 100).run()
    assert Counter(numbers) == dict.fromkeys(range(100), 1)


def test_an_error_ends_its_client_only_and_is_raised_at_the_end() -> None:
    turns: list[int] = []

    def fails(_number: int) -> None:
        raise ValueError("broken")

    def goes_on(number: int) -> float:
        turns.append(number)
        return 0.001

    with pytest.raises(ValueError, match="broken"), ClosedLoop([fails, goes_on]):
        wait_until(lambda: len(turns) > 3, "the other goes on")


def test_what_wants_to_know_of_errors_is_told_at_once_and_none_is_raised() -> None:
    told: list[tuple[int, str]] = []

    def fails(_number: int) -> None:
        raise ValueError("broken")

    def note(client: int, error: BaseException) -> None:
        told.append((client, str(error)))

    with ClosedLoop([fails], on_error=note):
        wait_until(lambda: told == [(0, "broken")], "it is told")


def test_the_end_waits_for_turns_that_are_not_over() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[int]()

    def turn(number: int) -> None:
        begun.set()
        go_on.wait(10)
        done.append(number)

    with ClosedLoop([turn]):
        assert begun.wait(10)
        threading.Timer(0.05, go_on.set).start()
    assert done == [0]
