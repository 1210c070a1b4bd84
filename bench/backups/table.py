"""The lines about backups, from what was measured. Pure."""

from dataclasses import asdict, dataclass, field
from typing import Any

from bench.backups.peak import Peak
from bench.backups.programs import Sample
from bench.figures import Aim, Figure
from bench.redeploy.outcome import Outcome

# Not slower than 0.95 of the speed of what does less.
_FAST = Aim("<=", round(1 / 0.95, 3))
_FLAT = Aim("<=", 1.2)
_CALM = Aim("<=", 1.5)

_PEAKS = {
    "create": "peak memory, backup create",
    "encrypted": "peak memory, backup create, encrypted",
    "restore": "peak memory, post-restore",
}


@dataclass
class Found:
    """What was measured, by name; sample n of each is of the same round.

    `small` are the peaks with a quarter of the data, `large` those with all of it.
    """

    jobs: int
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    small: dict[str, Peak] = field(default_factory=dict)
    large: dict[str, Peak] = field(default_factory=dict)
    during: list[Outcome] = field(default_factory=list)
    without: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def figures(found: Found) -> list[Figure]:
    """The lines of the table."""
    dump = f"pg_dump -Fd -j {found.jobs}"
    lines = [
        *_pair(found, "backup create", "create", "gzip", f"{dump}, gzip", _FAST),
        *_pair(found, "backup create", "create", "zstd", f"{dump}, zstd as ours", _FAST),
        *_pair(
            found,
            "post-restore",
            "restore",
            "plain",
            f"initdb, postgres, roles, createdb, pg_restore -j {found.jobs}, stop",
            _FAST,
        ),
    ]
    if "age" in found.samples:
        against = "pg_dump -Fc, zstd as ours, through age"
        lines += _pair(found, "backup create, encrypted", "encrypted", "age", against, None)
    return [*lines, *_memory(found), *_calm(found)]


def document(found: Found) -> dict[str, Any]:
    """All of it as JSON."""
    return asdict(found)


def _pair(
    found: Found, name: str, ours: str, plain: str, against: str, aim: Aim | None
) -> list[Figure]:
    """By the clock, and the CPU of all processes but those of the server that is dumped."""
    left, right = found.samples[ours], found.samples[plain]
    clock = tuple(one.seconds for one in left), tuple(one.seconds for one in right)
    cpu = tuple(one.cpu_s for one in left), tuple(one.cpu_s for one in right)
    return [
        Figure(name, "s", *clock, against, aim),
        Figure(name, "CPU s", *cpu, against),
    ]


def _memory(found: Found) -> list[Figure]:
    return [
        Figure(
            name,
            "MiB PSS",
            (found.large[key].pss_mib,),
            (found.small[key].pss_mib,),
            "ours with a quarter of the data",
            _FLAT,
        )
        for key, name in _PEAKS.items()
    ]


def _calm(found: Found) -> list[Figure]:
    during, without = (
        tuple(one.p99_ms or 0.0 for one in outcomes) for outcomes in (found.during, found.without)
    )
    return [Figure("p99 during backup create", "ms", during, without, "ours without one", _CALM)]
