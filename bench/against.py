"""This build against another checkout of it, in turn: one worker each, boots, memory, redeploys.

A worker is what is compared: how many there are is for the CPUs to say. A busy machine blurs the
CPU time of a request least: that of the worker says how many a second it can answer at most, that
of the whole appliance, its Postgres too, how many a CPU can.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import boots, memory
from bench.books import ACCOUNT, PAGE, WRITE, seed
from bench.boots import Boots
from bench.figures import Aim, Figure
from bench.knobs import Knobs
from bench.ours import Ours
from bench.redeploy.outcome import Outcome
from bench.redeploy.scenarios import planned
from bench.redeploy.stage import set_up
from bench.systems import System, wipe
from bench.throughput import Target, load
from load.epoll_loop import Throughput
from load.http_request import HttpRequest

_ONE_WORKER = {"WEB_WORKERS": "1"}
_AIMS = {"GET": Aim(">=", 2.0), "POST": Aim(">=", 1.4)}
_SIDES = ("new", "old")
_OLD = "the other build"


@dataclass
class _Side:
    """One build that serves, with what it did for each kind of request."""

    system: Ours
    target: Target
    results: dict[str, list[Throughput]] = field(default_factory=dict)
    worker_ms: dict[str, list[float]] = field(default_factory=dict)
    whole_ms: dict[str, list[float]] = field(default_factory=dict)

    def slice(self, request: HttpRequest, knobs: Knobs, tag: str, *, counts: bool) -> None:
        """Play requests against it; the first round warms up and does not count."""
        count = knobs.requests if counts else knobs.warmup
        before = self._cpu_ms()
        result = load(self.target, request, knobs.clients, count, tag)
        worker, whole = (
            (after - then) / count for after, then in zip(self._cpu_ms(), before, strict=True)
        )
        if counts:
            self.results.setdefault(request.name, []).append(result)
            self.worker_ms.setdefault(request.name, []).append(worker)
            self.whole_ms.setdefault(request.name, []).append(whole)

    def _cpu_ms(self) -> tuple[float, float]:
        programs = self.system.programs()
        whole = {pid for top in programs.values() for pid in memory.tree(top)}
        return memory.cpu_s(memory.tree(programs["api"])) * 1000, memory.cpu_s(whole) * 1000

    def all(self, request: HttpRequest, name: str) -> tuple[float, ...]:
        """One field of every result."""
        return tuple(getattr(result, name) for result in self.results[request.name])


def run(knobs: Knobs, folder: Path) -> list[Figure]:
    """Measure both builds; `knobs.against` is the checkout of the other one."""
    parts = {"load": _race, "boots": _boots, "redeploys": _redeploys}
    wanted = {name: part for name, part in parts.items() if knobs.wants(name)}
    return [figure for name, part in wanted.items() for figure in part(knobs, folder / name)]


def _checkout(side: str, knobs: Knobs) -> Path | None:
    return knobs.against if side == "old" else None


def _place(side: str, folder: Path) -> Path:
    place = folder / side
    place.mkdir(parents=True)
    for path in (folder, place):
        path.chmod(0o755)
    return place


def _make(knobs: Knobs, folder: Path, settings: dict[str, str]) -> dict[str, Ours]:
    return {
        side: Ours(_place(side, folder), checkout=_checkout(side, knobs), settings=settings)
        for side in _SIDES
    }


def _race(knobs: Knobs, folder: Path) -> list[Figure]:
    systems, sides = _make(knobs, folder, _ONE_WORKER), dict[str, _Side]()
    try:
        for name, system in systems.items():
            wipe(system)
            system.boot()
            sides[name] = _Side(system, Target(system.port, seed(system.storage)))
        for number in range(knobs.rounds + 1):
            for kind, request in enumerate((ACCOUNT, PAGE, WRITE)):
                for name in _SIDES[:: -1 if number % 2 else 1]:
                    sides[name].slice(request, knobs, f"{kind}-{number}", counts=number > 0)
    finally:
        for system in systems.values():
            system.stop()
    return [figure for request in (ACCOUNT, PAGE, WRITE) for figure in _figures(request, sides)]


def _figures(request: HttpRequest, sides: dict[str, _Side]) -> list[Figure]:
    new, old = (sides[name] for name in _SIDES)

    def figure(unit: str, name: str, aim: Aim | None = None) -> Figure:
        return Figure(request.name, unit, new.all(request, name), old.all(request, name), _OLD, aim)

    def cpu(unit: str, *spent: dict[str, list[float]]) -> Figure:
        ours, theirs = (tuple(one[request.name]) for one in spent)
        return Figure(request.name, unit, ours, theirs, _OLD)

    return [
        figure("requests/s, 1 worker", "per_second", _AIMS[request.method]),
        figure("p50 ms", "p50_ms"),
        figure("p99 ms", "p99_ms"),
        cpu("CPU ms/request, worker", new.worker_ms, old.worker_ms),
        cpu("CPU ms/request, whole", new.whole_ms, old.whole_ms),
    ]


def _boots(knobs: Knobs, folder: Path) -> list[Figure]:
    systems = dict[str, System](_make(knobs, folder, {}))
    found = boots.run(systems, knobs.boots, knobs.warmup)
    new, old = (found[name] for name in _SIDES)
    return [
        _boot("cold boot to 200 on /up", "cold", new, old),
        _boot("warm boot to 200 on /up", "warm", new, old),
        Figure("idle memory", "MiB PSS", new.mebibytes(), old.mebibytes(), _OLD),
    ]


def _boot(name: str, kind: str, new: Boots, old: Boots) -> Figure:
    return Figure(name, "ms", new.milliseconds(kind), old.milliseconds(kind), _OLD)


def _redeploys(knobs: Knobs, folder: Path) -> list[Figure]:
    """Each build takes over from a container of its own, on a storage of its own."""
    stages = {s: set_up(_place(s, folder), knobs, _checkout(s, knobs)) for s in _SIDES}
    found: dict[str, list[Outcome]] = {side: [] for side in _SIDES}
    for number in range(knobs.redeploys):
        for side in _SIDES[:: -1 if number % 2 else 1]:
            found[side].append(planned(stages[side]))
    return [_redeploy(unit, found, value) for unit, value in _SEEN.items()]


# What clients saw; and the time from the stop of one Postgres to the first answer of the other.
_SEEN: dict[str, Callable[[Outcome], float]] = {
    "longest stall ms": lambda one: one.stall_ms,
    "ms without database": lambda one: one.phases_ms["away"],
    "ms of it to stop": lambda one: one.phases_ms["stop"],
    "ms of it to start": lambda one: one.phases_ms["start"],
    "p99 ms": lambda one: one.p99_ms or 0.0,
    "failed requests": lambda one: float(one.failed),
}


def _redeploy(
    unit: str, found: dict[str, list[Outcome]], value: Callable[[Outcome], float]
) -> Figure:
    new, old = (tuple(map(value, found[side])) for side in _SIDES)
    return Figure("redeploy", unit, new, old, _OLD)
