"""Redeploys: what is counted, and how it is compared."""

import doctest

import pytest

from bench.redeploy import outcome, table
from bench.redeploy.outcome import Outcome
from load.outcomes import Sample


def test_what_was_over_before_it_began_does_not_count() -> None:
    before, during = Sample(0.0, 5.0, 2, False), Sample(5.5, 6.5, 1, True)
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
