"""How much longer than on an idle machine of our kind things may take here.

Limits of tests are guards against what never ends, not measurements: they grow with the load.
"""

import os
import subprocess
import sys
import time

VARIABLE = "TEST_TIME_SCALE"

_PROBE = (sys.executable, "-c", "import psycopg, requests")
_PROBE_TAKES_S = 0.4


def scale() -> float:
    """The factor for this run; 1 unless it was measured or given."""
    return float(os.environ.get(VARIABLE) or 1)


def measure(processes: int) -> float:
    """The factor for so many test processes at once, from how long a program takes to start."""
    subprocess.run(_PROBE, check=True)
    began = time.monotonic()
    subprocess.run(_PROBE, check=True)
    slowness = (time.monotonic() - began) / _PROBE_TAKES_S
    crowd = processes / (os.cpu_count() or 1)
    return round(max(1.0, slowness) * max(1.0, crowd), 1)
