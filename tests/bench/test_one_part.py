"""A quick run of the bench's first part: every change shows that it still measures."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.harness import speed
from tests.harness.fast import skip_if_fast


def test_a_part_that_is_chosen_is_measured_and_reported(tmp_path: Path) -> None:
    skip_if_fast()
    ran = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "BENCH_QUICK": "1",
            "BENCH_ONLY": "boots",
            "BENCH_RESULTS": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100 * speed.scale(),
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    (path,) = tmp_path.iterdir()
    document = json.loads(path.read_text())
    names = {figure["name"] for figure in document["figures"]}
    assert names == {"cold boot to 200 on /up", "warm boot to 200 on /up", "idle memory"}
    assert all(any(line.startswith(name) for line in ran.stdout.splitlines()) for name in names)
    assert all(figure["ours"]["low"] > 0 for figure in document["figures"])
    assert {"supervisor", "postgres", "agent", "api"} == set(document["boots"]["ours"]["memory"][0])
