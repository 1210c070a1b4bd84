"""The redeploy table: what clients saw of each way, how they compare, and ours by phase. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.figures import Aim, Spread
from bench.redeploy.outcome import Outcome
from bench.report import aligned, cell

# Round n of one row and round n of another are compared with each other.
Outcomes = Mapping[str, Sequence[Outcome]]

ROWS = {
    "planned": "(a) ours, planned",
    "owner_killed": "(b) ours, owner killed",
    "lock_only": "(c) lock only, old one killed",
    "stop_then_start": "(d) ours, stop, then start",
    "floor_idle": "floor: stop, start, idle",
    "floor": "floor: stop, start, after the load",
    "recovery": "floor: crash recovery",
}
_PHASED = {"planned": "(a)", "owner_killed": "(b)"}
_HEAD = ("redeploy", "longest stall ms", "p99 ms", "failed requests", "MiB of WAL behind it")
_COMPARED_HEAD = ("compared", "unit", "found", "aim")
_PHASES_HEAD = ("phase", "ms", "")
_PHASES = {
    "claim": "from the request to the stop: what follows up to it, and what was said",
    "dump": "dumps that may end first",
    "checkpoint": "the first checkpoint",
    "second_checkpoint": "the second, for what was written during the first",
    "stop": "from the stop signal until the new container has the lock",
    "prepare": "until it becomes Postgres",
    "start": "until its Postgres has answered",
    "away": "from the stop (in b: from the lock) until then",
}


@dataclass(frozen=True)
class Comparison:
    """One comparison, round by round."""

    name: str
    unit: str
    samples: tuple[float, ...]
    aim: Aim | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median keeps to the aim; None without one."""
        return self.aim.met_by(median(self.samples)) if self.aim else None

    def document(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            **asdict(Spread.of(self.samples)),
            "samples": list(self.samples),
            "aim": str(self.aim) if self.aim else None,
            "met": self.met,
        }


def comparisons(found: Outcomes) -> list[Comparison]:
    """What the redeploys aim at."""

    def stalls(above: str, below: str, both: Callable[[float, float], float]) -> tuple[float, ...]:
        pairs = zip(found[above], found[below], strict=True)
        return tuple(both(a.stall_ms, b.stall_ms) for a, b in pairs)

    def ratio(a: float, b: float) -> float:
        return a / b

    failed = tuple(
        float(a.failed + b.failed)
        for a, b in zip(found["planned"], found["owner_killed"], strict=True)
    )
    own = tuple(one.stall_ms for one in found["planned"])
    over = stalls("owner_killed", "recovery", lambda a, b: a - b)
    return [
        Comparison("(a)", "ms", own, Aim("<=", 250)),
        Comparison("(a) / floor, after the load", "", stalls("planned", "floor", ratio), _TWICE),
        Comparison("(a) / floor, idle", "", stalls("planned", "floor_idle", ratio)),
        Comparison("(b) - crash recovery", "ms", over, Aim("<=", 150)),
        Comparison("(c) / (a)", "", stalls("lock_only", "planned", ratio), Aim(">=", 10)),
        Comparison("(d) / (a)", "", stalls("stop_then_start", "planned", ratio)),
        Comparison("failed requests in (a) and (b)", "", failed, Aim("<=", 0)),
    ]


_TWICE = Aim("<=", 2)


def table(found: Outcomes) -> str:
    """Three tables: rows, comparisons, phases."""
    rows = [_row(name, found[key]) for key, name in ROWS.items()]
    compared = [_compared(one) for one in comparisons(found)]
    phases = [line for key, name in _PHASED.items() for line in _phases(name, found[key])]
    parts = ([_HEAD, *rows], [_COMPARED_HEAD, *compared], [_PHASES_HEAD, *phases])
    return "\n\n".join(aligned(part) for part in parts)


def document(found: Outcomes) -> dict[str, Any]:
    """All of it as JSON."""
    return {
        "rounds": {key: [asdict(one) for one in outcomes] for key, outcomes in found.items()},
        "comparisons": [one.document() for one in comparisons(found)],
    }


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    p99s = [one.p99_ms for one in outcomes if one.p99_ms is not None]
    failed = [one.failed for one in outcomes]
    wal = [one.wal_mib for one in outcomes]
    return (
        name,
        cell([one.stall_ms for one in outcomes]),
        cell(p99s) if p99s else "",
        _count(failed) if p99s else "",
        _count(wal),
    )


def _compared(one: Comparison) -> tuple[str, ...]:
    aim = f"{one.aim} {'met' if one.met else 'missed'}" if one.aim else ""
    return one.name, one.unit, cell(one.samples), aim


def _phases(name: str, outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for phase, what in _PHASES.items():
        samples = [one.phases_ms[phase] for one in outcomes if phase in one.phases_ms]
        if samples:
            lines.append((f"{name} {phase.replace('_', ' ')}", cell(samples), what))
    return lines


def _count(samples: Sequence[float]) -> str:
    return f"{median(samples):.0f} ({min(samples):.0f}-{max(samples):.0f})"
