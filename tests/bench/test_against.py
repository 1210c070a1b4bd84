"""This build against another one; here that is the same one once more."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import knobs
from tests.harness import speed
from tests.harness.fast import skip_if_fast

ROOT = Path(__file__).parents[2]
# `make up` was run where the Python is that runs this.
OTHER = Path(sys.executable).parents[2]

pytestmark = pytest.mark.time_limit(200)


@pytest.mark.nightly
def test_redeploys_of_both_builds_are_measured_in_pairs(tmp_path: Path) -> None:
    skip_if_fast()
    figures = {one["unit"]: one for one in measure(tmp_path, "redeploys")["figures"]}
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


def measure(results: Path, part: str) -> dict[str, Any]:
    """The document of a quick run of one part."""
    asked = {"BENCH_QUICK": "1", "BENCH_AGAINST": str(OTHER), "BENCH_ONLY": part}
    ran = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=ROOT,
        env={**os.environ, **asked, "BENCH_RESULTS": str(results)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120 * speed.scale(),
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    (path,) = results.iterdir()
    return dict(json.loads(path.read_text()))
