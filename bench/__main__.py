"""`python -m bench`: boots and memory, then throughput, then one table and one JSON document."""

import compileall
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench import boots, image, knobs, report, statements, throughput
from bench.bare import Bare
from bench.books import seed
from bench.figures import Figure
from bench.knobs import Knobs
from bench.load import Result
from bench.ours import Ours
from bench.systems import System, wipe
from bench.throughput import Target

_BUSY = 0.7
_CODE = Path(__file__).parents[1]


def main() -> None:
    """Measure everything and report it; a missed aim is no failure."""
    chosen, busy = knobs.read(), os.getloadavg()[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by SIGTERM"))
    folder = Path(tempfile.mkdtemp(prefix="ap-bench-", dir=chosen.dir))
    folder.chmod(0o755)
    try:
        figures, details = _measure(chosen, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if busy > _BUSY:
        details["notes"].append(f"The machine was busy before (load {busy:.1f}): trust no figure.")
    details["load_before"] = busy
    print(report.table(figures))
    for note in details["notes"]:
        print(note)
    path = report.write(chosen.results, report.document(figures, chosen, details))
    print(f"bench: everything, with every sample, is in {path}")


def _measure(chosen: Knobs, folder: Path) -> tuple[list[Figure], dict]:  # type: ignore[type-arg]
    systems = _systems(folder)
    _say("warming up: compiling, and recording our app's SQL")
    _prepare(systems, folder)
    _say(f"boots and memory, {chosen.boots} rounds")
    booted = boots.run(systems, chosen.boots, chosen.warmup)
    _say(f"throughput, {chosen.rounds} rounds")
    matches, ceiling = _race(systems["ours"], systems["least"], chosen, folder)
    figures = boots.figures(booted)
    figures += [figure for match in matches for figure in match.figures()]
    rates = tuple(result.per_second for result in ceiling)
    figures.append(Figure("the load generator itself", "requests/s", rates))
    more, notes = _image(chosen)
    busiest = max(slice_.own_cpu for match in matches for pair in match.results for slice_ in pair)
    notes.append(f"The load generator took {busiest:.0%} of one CPU at most.")
    return figures + more, {
        "notes": notes,
        "boots": {name: asdict(found) for name, found in booted.items()},
        "load": [
            {"request": m.request.name, "against": m.against, "rounds": _rounds(m)} for m in matches
        ],
    }


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
) -> tuple[list[throughput.Match], list[Result]]:
    targets = []
    try:
        for system in (ours, least):
            wipe(system)
            system.boot()
            targets.append(Target(system.port, seed(system.storage)))
        return throughput.run(*targets, chosen, folder)
    finally:
        ours.stop()
        least.stop()


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
