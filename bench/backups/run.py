"""Everything about backups: memory at two sizes, then rounds of dumps, windows and restores."""

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.backups import bulk, dumps, peak, programs, restores
from bench.backups.peak import Peak
from bench.backups.programs import Sample
from bench.backups.stage import Stage, jobs, set_up
from bench.backups.table import Found
from bench.backups.windows import Windows
from bench.knobs import Knobs
from bench.redeploy.outcome import Outcome

_SMALL = 0.25
_LEAST_WINDOW_S = 10.0
_LEAST_WINDOW_QUICKLY_S = 1.0

_MORE = (
    "Our backup is also read back, and its rows counted and all of it checksummed; our restore is "
    "compared with that table by table. The bare parts do none of it."
)

Ways = dict[str, Callable[[Stage], Sample]]

# Ours is a neighbour of both that it is compared with.
_DUMPS: Ways = {
    "gzip": dumps.gzip,
    "create": dumps.ours,
    "zstd": dumps.zstd,
    "encrypted": dumps.ours_encrypted,
    "age": dumps.age,
}
_RESTORES: Ways = {
    "restore": restores.ours,
    "plain": restores.plain,
}


def run(knobs: Knobs, folder: Path) -> Found:
    """Measure; what is compared with what is in `table`."""
    found = Found(jobs(), notes=[_MORE])
    with set_up(folder) as stage:
        bulk.fill(stage.ours.storage, knobs.gigabytes * _SMALL)
        found.small = _peaks(stage)
        bulk.fill(stage.ours.storage, knobs.gigabytes)
        found.large = _peaks(stage)
        _take_turns(_dumps(found), stage, found, knobs.backups)
        found.during, found.without = _watch(stage, found, knobs)
        stage.ours.stop()
        _take_turns(_RESTORES, stage, found, knobs.backups)
    return found


def _dumps(found: Found) -> Ways:
    if shutil.which("age") is not None:
        return _DUMPS
    found.notes.append("Encrypted backups were not compared (there is no age).")
    return {name: way for name, way in _DUMPS.items() if name not in ("encrypted", "age")}


def _take_turns(ways: Ways, stage: Stage, found: Found, rounds: int) -> None:
    """Each once in a round; every second round in the opposite order."""
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            found.samples.setdefault(name, []).append(ways[name](stage))


def _watch(stage: Stage, found: Found, knobs: Knobs) -> tuple[list[Outcome], list[Outcome]]:
    windows, length = Windows(), _window_s(found, quick=knobs.quick)
    for number in range(knobs.backups):
        windows.round(stage, knobs.clients, length, number)
    return windows.during, windows.without


def _peaks(stage: Stage) -> dict[str, Peak]:
    """The memory that each takes; nothing is timed then."""
    found = {}
    for name, environment in {"create": {}, "encrypted": dumps.encrypted(stage)}.items():
        process = dumps.begin(stage, environment)
        found[name] = peak.watch(process)
        programs.finish(process, stage.log)
        dumps.forget(stage)
    restores.prepare(stage)
    with restores.restorable(stage) as storage:
        process = restores.begin(stage, storage)
        found["restore"] = peak.watch(process)
        programs.finish(process, stage.log)
    return found


def _window_s(found: Found, *, quick: bool) -> float:
    """At least as long as one backup takes, so that all of one is seen."""
    least = _LEAST_WINDOW_QUICKLY_S if quick else _LEAST_WINDOW_S
    return max(least, median(one.seconds for one in found.samples["create"]))
