"""The bench as a program, small."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness import speed
from tests.harness.fast import skip_if_fast


def run(results: Path, limit_s: float, **variables: str) -> tuple[str, dict[str, Any]]:
    """Run it with these BENCH_ variables; returns what it printed, and its document."""
    skip_if_fast()
    ran = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "BENCH_QUICK": "1", "BENCH_RESULTS": str(results), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s * speed.scale(),
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    (path,) = results.iterdir()
    return ran.stdout, json.loads(path.read_text())
