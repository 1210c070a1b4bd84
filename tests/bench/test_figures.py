"""Figures: medians, spreads, ratios pair by pair."""

from bench.figures import Aim, Figure, Spread


def test_a_ratio_is_taken_pair_by_pair_before_the_median() -> None:
    # Both sides met a slow minute in the second pair: the ratio does not see it.
    figure = Figure("boot", "ms", (110.0, 330.0, 110.0), (100.0, 300.0, 100.0))
    assert figure.ratio == Spread(1.1, 1.1, 1.1)


def test_an_aim_holds_the_ratio_or_without_bare_parts_the_figure_itself() -> None:
    ratio = Figure("reads", "requests/s", (95.0,), (100.0,), aim=Aim(">=", 0.9))
    itself = Figure("image", "MB", (210.0,), aim=Aim("<=", 200))
    assert (ratio.met, itself.met) == (True, False)


def test_a_figure_without_an_aim_is_neither_met_nor_missed() -> None:
    assert Figure("boot", "ms", (1.0,), (1.0,)).document()["met"] is None


def test_without_anything_to_divide_by_a_figure_is_held_to_its_aim_itself() -> None:
    failed = Figure("redeploy", "failed requests", (0.0, 0.0), (0.0, 2.0), aim=Aim("<=", 0))
    assert (failed.ratio, failed.met) == (None, True)
    assert failed.document()["bare"]["samples"] == [0.0, 2.0]
