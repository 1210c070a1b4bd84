"""Memory and CPU time of process trees; memory as proportional set size, shared pages once."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path


def by_program(programs: Mapping[str, int]) -> dict[str, float]:
    """The PSS in MiB of each program: its top process and what is below it, up to the next."""
    tops = set(programs.values())
    return {
        name: sum(map(_pss_kib, tree(top, stop_at=tops - {top}))) / 1024
        for name, top in programs.items()
    }


def tree(top: int, stop_at: Collection[int] = ()) -> list[int]:
    """A process and all below it, without those to stop at."""
    below: dict[int, list[int]] = {}
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        if (parent := _parent(pid)) is not None:
            below.setdefault(parent, []).append(pid)
    found = [top]
    for pid in found:
        found += [child for child in below.get(pid, []) if child not in stop_at]
    return found


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [child for child in tree(pid) if _parent(child) == pid]


def command(pid: int) -> str:
    """The command line of a process, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu_s(pids: Collection[int]) -> float:
    """Seconds of CPU that processes have taken so far, in their own code and in the kernel's."""
    ticks = [fields for pid in pids if (fields := _cpu_ticks(pid)) is not None]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def _cpu_ticks(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[11]) + int(fields[12])


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _pss_kib(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
