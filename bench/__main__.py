"""`python -m bench`: boots and memory, throughput, redeploys, backups; tables and a document."""

import compileall
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import against, boots, image, knobs, report, statements, throughput
from bench.backups import run as backups
from bench.backups import table as backups_table
from bench.bare import Bare
from bench.books import seed
from bench.figures import Figure
from bench.knobs import Knobs
from bench.ours import Ours
from bench.redeploy import run as redeploys
from bench.redeploy import table
from bench.redeploy.outcome import Outcome
from bench.systems import System, wipe
from bench.throughput import Target
from load.epoll_loop import Throughput

_BUSY = 0.7
_CODE = Path(__file__).parents[1]


def main() -> None:
    """Measure everything and report it; a missed aim is no failure."""
    chosen, busy = knobs.read(), os.getloadavg()[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by SIGTERM"))
    folder = Path(tempfile.mkdtemp(prefix="ap-bench-", dir=chosen.dir))
    folder.chmod(0o755)
    try:
        found = _measure(chosen, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if busy > _BUSY:
        found.notes.append(f"The machine was busy before (load {busy:.1f}): trust no figure.")
    for part in found.tables():
        print(part, end="\n\n")
    for note in found.notes:
        print(note)
    details = {"load_before": busy, "notes": found.notes, **found.details}
    path = report.write(chosen.results, report.document(found.figures, chosen, details))
    print(f"bench: everything, with every sample, is in {path}")


@dataclass
class _Found:
    """What was measured so far."""

    figures: list[Figure] = field(default_factory=list)
    redeploys: dict[str, list[Outcome]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def tables(self) -> list[str]:
        """For people."""
        found = [report.table(self.figures)] if self.figures else []
        return found + ([table.table(self.redeploys)] if self.redeploys else [])


def _measure(chosen: Knobs, folder: Path) -> _Found:
    found, systems = _Found(), _systems(folder)
    if chosen.against != Path():
        counts = {"load": chosen.rounds, "boots": chosen.boots, "redeploys": chosen.redeploys}
        parts = [f"{name} {count}" for name, count in counts.items() if chosen.wants(name)]
        _say(f"against {chosen.against}, rounds of {', '.join(parts)}")
        found.figures += against.run(chosen, folder)
        return found
    _say("warming up: compiling, and recording our app's SQL")
    _prepare(systems, folder)
    if chosen.wants("boots"):
        _say(f"boots and memory, {chosen.boots} rounds")
        booted = boots.run(systems, chosen.boots, chosen.warmup)
        found.figures += boots.figures(booted)
        found.details["boots"] = {name: asdict(one) for name, one in booted.items()}
    if chosen.wants("load"):
        _say(f"throughput, {chosen.rounds} rounds")
        _measure_load(systems, chosen, folder, found)
    if chosen.wants("image"):
        figures, notes = _image(chosen)
        found.figures += figures
        found.notes += notes
    if chosen.wants("redeploys"):
        _say(f"redeploys, {chosen.redeploys} rounds")
        found.redeploys = redeploys.run(chosen, folder)
        found.details["redeploys"] = table.document(found.redeploys)
    if chosen.wants("backups"):
        _say(f"backups of {chosen.gigabytes:g} GB, {chosen.backups} rounds")
        _measure_backups(chosen, folder, found)
    return found


def _measure_backups(chosen: Knobs, folder: Path, found: _Found) -> None:
    measured = backups.run(chosen, folder)
    found.figures += backups_table.figures(measured)
    found.notes += measured.notes
    found.details["backups"] = backups_table.document(measured)


def _measure_load(systems: dict[str, System], chosen: Knobs, folder: Path, found: _Found) -> None:
    matches, ceiling = _race(systems["ours"], systems["least"], chosen, folder)
    found.figures += [figure for match in matches for figure in match.figures()]
    rates = tuple(result.per_second for result in ceiling)
    found.figures.append(Figure("the load generator itself", "requests/s", rates))
    busiest = max(slice_.own_cpu for match in matches for pair in match.results for slice_ in pair)
    found.notes.append(f"The load generator took {busiest:.0%} of one CPU at most.")
    found.details["load"] = [
        {"request": m.request.name, "against": m.against, "rounds": _rounds(m)} for m in matches
    ]


def _systems(folder: Path) -> dict[str, System]:
    folders = {name: folder / name for name in ("ours", "same", "least")}
    for path in folders.values():
        path.mkdir()
        path.chmod(0o755)
    sql = {"BARE_STATEMENTS": str(folder / "statements.json")}
    return {
        "ours": Ours(folders["ours"]),
        "same": Bare(folders["same"], "bench.same_app:make()", {}),
        "least": Bare(folders["least"], "bench.bare_app:application", sql),
    }


def _prepare(systems: dict[str, System], folder: Path) -> None:
    # Users that may not write here would compile our code anew at every start.
    for code in ("appliance", "bench"):
        compileall.compile_dir(_CODE / code, quiet=1)
    same = systems["same"]
    try:
        same.boot()
        found = statements.record(same.storage, seed(same.storage))
    finally:
        same.stop()
    (folder / "statements.json").write_text(json.dumps(found))
    for system in systems.values():
        try:
            system.boot()
        finally:
            system.stop()


def _race(
    ours: System, least: System, chosen: Knobs, folder: Path
) -> tuple[list[throughput.Match], list[Throughput]]:
    try:
        return throughput.run(_booted(ours), _booted(least), chosen, folder)
    finally:
        ours.stop()
        least.stop()


def _booted(system: System) -> Target:
    wipe(system)
    system.boot()
    return Target(system.port, seed(system.storage))


def _rounds(match: throughput.Match) -> list[dict[str, object]]:
    return [{"ours": asdict(ours), "bare": asdict(bare)} for ours, bare in match.results]


def _image(chosen: Knobs) -> tuple[list[Figure], list[str]]:
    if chosen.quick:
        return [], ["The image's size was not measured (a quick run)."]
    try:
        return image.figures(chosen.image), []
    except LookupError as reason:
        return [], [f"The image's size was not measured ({reason})."]


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
