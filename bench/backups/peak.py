"""The peak of the memory of a program and all that it starts, but for Postgres itself."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.backups.programs import ending
from bench.memory import tree
from bench.processes import Process

_LOOK_EVERY_S = 0.05
_SERVER = "postgres"


@dataclass
class Peak:
    """MiB: of the sum of the PSS at one time, and of each process' own largest RSS."""

    pss_mib: float = 0.0
    largest_rss_mib: dict[str, float] = field(default_factory=dict)


def watch(process: Process) -> Peak:
    """Look at it every 50 ms until it ends; does not wait for it."""
    peak = Peak()
    with ending(process):
        while process.poll() is None:
            look(process.pid, peak)
            time.sleep(_LOOK_EVERY_S)
    return peak


def look(top: int, peak: Peak) -> None:
    """Look once at what is below a process."""
    weights = [_weigh(pid, peak) for pid in tree(top)]
    peak.pss_mib = max(peak.pss_mib, sum(weights))


def _weigh(pid: int, peak: Peak) -> float:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name == _SERVER:
            return 0.0
        pss = _mib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")
        largest = _mib(Path(f"/proc/{pid}/status").read_text(), "VmHWM:")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    peak.largest_rss_mib[name] = max(largest, peak.largest_rss_mib.get(name, 0.0))
    return pss


def _mib(text: str, field_name: str) -> float:
    found = (line.split()[1] for line in text.splitlines() if line.startswith(field_name))
    return int(next(found, "0")) / 1024
