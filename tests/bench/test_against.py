"""This build against another one; here that is the same one once more."""

import sys
from pathlib import Path

import pytest

from bench import knobs
from tests.bench import quick_run

# `make up` was run where the Python is that runs this.
OTHER = Path(sys.executable).parents[2]

pytestmark = pytest.mark.time_limit(200)


def test_boots_of_both_builds_are_measured_in_pairs(tmp_path: Path) -> None:
    """The part that takes least: every change shows that the bench still measures."""
    asked = {"BENCH_AGAINST": str(OTHER), "BENCH_ONLY": "boots"}
    printed, document = quick_run.run(tmp_path, 100, **asked)
    names = {figure["name"] for figure in document["figures"]}
    assert names == {"cold boot to 200 on /up", "warm boot to 200 on /up", "idle memory"}
    assert all(any(line.startswith(name) for line in printed.splitlines()) for name in names)
    assert all(figure["ours"]["low"] > 0 for figure in document["figures"])


@pytest.mark.nightly
def test_redeploys_of_both_builds_are_measured_in_pairs(tmp_path: Path) -> None:
    asked = {"BENCH_AGAINST": str(OTHER), "BENCH_ONLY": "redeploys"}
    _, document = quick_run.run(tmp_path, 120, **asked)
    figures = {one["unit"]: one for one in document["figures"]}
    assert {one["name"] for one in figures.values()} == {"redeploy"}
    failed = figures.pop("failed requests")
    assert failed["ours"]["samples"] == failed["bare"]["samples"] == [0]
    assert {"longest stall ms", "ms without database", "p99 ms"} <= set(figures)
    for figure in figures.values():
        assert all(figure[side]["median"] > 0 for side in ("ours", "bare", "ratio"))


def test_what_is_not_measured_against_another_build_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BENCH_AGAINST", str(OTHER))
    monkeypatch.setenv("BENCH_ONLY", "backups")
    with pytest.raises(SystemExit, match="must be one of boots, load, redeploys"):
        knobs.read()
