"""A short run of the real thing. `make chaos` runs more rounds, with other seeds."""

import shutil
from pathlib import Path

from tests.chaos import report
from tests.chaos.run import Outcome, run
from tests.harness.fast import skip_if_fast

SEED, ROUNDS = 36, 6


def test_six_rounds_lose_nothing_double_nothing_and_fail_no_request() -> None:
    skip_if_fast()
    outcome = run(SEED, ROUNDS, print)
    assert outcome.faults == [], report.failure(outcome)
    assert outcome.actions.total() == ROUNDS
    assert outcome.recorded == len(outcome.writes.acknowledged)
    assert outcome.samples > 100
    shutil.rmtree(outcome.folder)


def test_a_failure_shows_the_seed_and_what_came_before(tmp_path: Path) -> None:
    outcome = Outcome(seed=4711, rounds=6, folder=tmp_path, faults=["lost: 1-0"], last_round=3)
    for number in range(100):
        outcome.timeline.note("chaos", f"event {number}")
    shown = report.failure(outcome)
    assert "CHAOS_SEED=4711 CHAOS_ROUNDS=6 make chaos" in shown
    assert "lost: 1-0" in shown
    assert shown.count("  chaos     event ") == 60
    assert "event 99" in shown
    assert "FAILED in round 3; seed 4711" in report.verdict(outcome)
