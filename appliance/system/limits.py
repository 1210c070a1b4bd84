"""How much memory and disk and how many CPUs this container may use."""

import os
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024

# What one more process of the API may take, the memory of its database sessions included.
_API_WORKER_MIB = 192
_MOST_API_WORKERS = 64

_CGROUP = Path("/sys/fs/cgroup")
_MEMORY_FILES = ("memory.max", "memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class ResourceLimits:
    """Memory in bytes and whole CPUs, at least one."""

    memory_bytes: int
    cpus: int

    @property
    def memory_mib(self) -> int:
        """Memory in MiB, rounded down."""
        return self.memory_bytes // MEBIBYTE

    @property
    def api_workers(self) -> int:
        """Processes of the API: one for each CPU, as far as the memory goes."""
        affordable = self.memory_mib // _API_WORKER_MIB - 1
        return max(1, min(self.cpus, affordable, _MOST_API_WORKERS))


def detect(cpu_limit: int | None = None, cgroup: Path = _CGROUP) -> ResourceLimits:
    """Read the cgroup (version 2, then 1) and the machine; the smallest figure counts.

    `cpu_limit` is the platform's NUM_CPUS, which it sets when it limits the container.
    """
    memory = min([_machine_memory_bytes(), *_memory_limits(cgroup)])
    cpus = [len(os.sched_getaffinity(0)), *_cpu_quotas(cgroup)]
    if cpu_limit is not None:
        cpus.append(cpu_limit)
    return ResourceLimits(memory_bytes=memory, cpus=max(1, min(cpus)))


@dataclass(frozen=True)
class DiskSpace:
    """A file system, for a user without privileges. In bytes; those in all are 0 if unknown."""

    free_bytes: int
    total_bytes: int
    read_only: bool = False


def disk_space(folder: Path) -> DiskSpace:
    """Ask the file system of a folder; raises OSError."""
    status = os.statvfs(folder)
    return DiskSpace(
        free_bytes=status.f_bavail * status.f_frsize,
        total_bytes=status.f_blocks * status.f_frsize,
        read_only=bool(status.f_flag & os.ST_RDONLY),
    )


def _machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _memory_limits(cgroup: Path) -> list[int]:
    words = (_read(cgroup / name) for name in _MEMORY_FILES)
    return [int(word) for word in words if word.isdigit() and int(word) > 0]


def _cpu_quotas(cgroup: Path) -> list[int]:
    quotas = []
    unified = _read(cgroup / "cpu.max").split()
    legacy = [_read(cgroup / f"cpu/cpu.cfs_{name}_us") for name in ("quota", "period")]
    for pair in (unified, legacy):
        if len(pair) == 2 and all(word.isdigit() for word in pair):  # noqa: PLR2004 - a pair
            quota, period = (int(word) for word in pair)
            quotas.append(-(-quota // period))
    return quotas


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
