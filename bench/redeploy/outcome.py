"""What clients saw of one redeploy, from the times of their requests. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from load.latency import percentile
from load.outcomes import Sample


@dataclass(frozen=True)
class Outcome:
    """One run of one scenario. `wal_mib` is what lay behind it since the last checkpoint.

    `phases_ms` are those the appliance wrote down itself, for what it has no phases of, none.
    """

    stall_ms: float
    wal_mib: float
    p99_ms: float | None = None
    requests: int = 0
    failed: int = 0
    failed_attempts: int = 0
    phases_ms: dict[str, float] = field(default_factory=dict)


def outcome(
    requests: Sequence[Sample],
    since: float,
    until: float,
    wal_mib: float,
    phases_ms: dict[str, float],
) -> Outcome:
    """Look at every request that was under way between two moments.

    >>> calm, late = Sample(0.0, 0.01, 0, False), Sample(0.01, 0.26, 3, True)
    >>> outcome([calm, late], 0.1, 9.0, 500.0, {}).stall_ms
    250.0
    """
    seen = [one for one in requests if one.ended >= since and one.began <= until]
    if not seen:
        raise SystemExit("No request was under way while the container was replaced.")
    times = sorted(one.milliseconds for one in seen)
    return Outcome(
        stall_ms=round(times[-1], 3),
        wal_mib=wal_mib,
        p99_ms=round(percentile(times, 0.99), 3),
        requests=len(seen),
        failed=sum(one.failures > 0 for one in seen),
        failed_attempts=sum(one.failures for one in seen),
        phases_ms=phases_ms,
    )
