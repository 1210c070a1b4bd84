"""Every way to replace a container, in turn, round by round, on one cluster."""

from collections.abc import Callable
from pathlib import Path

from bench.knobs import Knobs
from bench.redeploy import scenarios
from bench.redeploy.outcome import Outcome
from bench.redeploy.stage import Stage, set_up
from bench.redeploy.table import ROWS

_WATCH_S = 8.0
_WATCH_QUICKLY_S = 2.0


def run(knobs: Knobs, folder: Path) -> dict[str, list[Outcome]]:
    """Round by round each once; every second round in the opposite order.

    `folder` holds the statements of the bare app.
    """
    watch_s = _WATCH_QUICKLY_S if knobs.quick else _WATCH_S
    stage = set_up(folder, knobs.clients, knobs.wal, watch_s)
    ways: dict[str, Callable[[Stage], Outcome]] = {name: getattr(scenarios, name) for name in ROWS}
    found: dict[str, list[Outcome]] = {name: [] for name in ROWS}
    for number in range(knobs.redeploys):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            found[name].append(ways[name](stage))
    return found
