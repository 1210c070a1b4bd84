"""A quick run of the bench's first part."""

from pathlib import Path

import pytest

from tests.bench import quick_run


@pytest.mark.nightly
def test_a_part_that_is_chosen_is_measured_and_reported(tmp_path: Path) -> None:
    printed, document = quick_run.run(tmp_path, 100, BENCH_ONLY="boots")
    names = {figure["name"] for figure in document["figures"]}
    assert names == {"cold boot to 200 on /up", "warm boot to 200 on /up", "idle memory"}
    assert all(any(line.startswith(name) for line in printed.splitlines()) for name in names)
    assert all(figure["ours"]["low"] > 0 for figure in document["figures"])
    assert {"supervisor", "postgres", "agent", "api"} == set(document["boots"]["ours"]["memory"][0])
