"""The plan: the same seed says the same, and nothing is left out."""

from collections import Counter

import pytest

from tests.chaos.plan import DECK, Action, draw


def test_the_same_seed_and_number_draw_the_same_round() -> None:
    assert [draw(7, number) for number in range(60)] == [draw(7, number) for number in range(60)]


def test_another_seed_draws_other_rounds() -> None:
    assert [draw(7, number) for number in range(9)] != [draw(8, number) for number in range(9)]


def test_a_round_does_not_depend_on_those_before_it() -> None:
    assert draw(7, 150) == next(reversed([draw(7, number) for number in range(151)]))


@pytest.mark.parametrize("seed", [0, 1, 20261120])
def test_every_action_comes_as_often_as_the_deck_has_it(seed: int) -> None:
    drawn = Counter(draw(seed, number).action for number in range(len(DECK)))
    assert drawn == Counter(DECK)
    assert set(drawn) == set(Action)


def test_moments_and_pauses_stay_within_their_bounds() -> None:
    for round_ in (draw(3, number) for number in range(500)):
        assert 0 <= round_.calm_s <= 0.8
        assert 0 <= round_.moment_s <= (0.5 if round_.in_handoff else 1.5)
        assert 0.1 <= round_.pause_s <= 3
