"""Every way to replace a container, in turn, round by round, on one cluster."""

from collections.abc import Callable
from pathlib import Path

from bench.knobs import Knobs
from bench.redeploy import scenarios
from bench.redeploy.outcome import Outcome
from bench.redeploy.stage import Stage, set_up
from bench.redeploy.table import ROWS


def run(knobs: Knobs, folder: Path) -> dict[str, list[Outcome]]:
    """Round by round each once; every second round in the opposite order.

    `folder` holds the statements of the bare app.
    """
    stage = set_up(folder, knobs)
    ways: dict[str, Callable[[Stage], Outcome]] = {name: getattr(scenarios, name) for name in ROWS}
    found: dict[str, list[Outcome]] = {name: [] for name in ROWS}
    for number in range(knobs.redeploys):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            found[name].append(ways[name](stage))
    return found
