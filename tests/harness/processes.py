"""Looking at processes through /proc, as root or as the user that owns them."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process: its number, its parent's, its state letter and its command line."""

    pid: int
    parent: int
    state: str
    command: str

    @property
    def uid(self) -> int:
        """The effective user it runs as."""
        return Path(f"/proc/{self.pid}").stat().st_uid


def read(pid: int) -> Process | None:
    """Return a process, or None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()
    return Process(pid, int(after_name[1]), after_name[0], command)


def everyone() -> list[Process]:
    """Every process of this machine."""
    found = (read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process]


def descendants(pid: int) -> list[Process]:
    """Every process below one, children first."""
    by_parent: dict[int, list[Process]] = {}
    for process in everyone():
        by_parent.setdefault(process.parent, []).append(process)
    found, queue = [], [pid]
    while queue:
        children = by_parent.get(queue.pop(0), [])
        found += children
        queue += [child.pid for child in children]
    return found


def kill(pid: int) -> None:
    """SIGKILL a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether it may still run code of its own; a zombie may not, nor may what the kernel ends."""
    process = read(pid)
    return process is not None and process.state != "Z" and _has_memory(pid)


def _has_memory(pid: int) -> bool:
    # The kernel takes a dying process' memory first, then its files (and with them the lock), and
    # shows it as a zombie last.
    try:
        return not Path(f"/proc/{pid}/statm").read_text().startswith("0 ")
    except (FileNotFoundError, ProcessLookupError):
        return False


def postmasters(pgdata: Path) -> list[Process]:
    """The postmasters on one cluster, whoever started them: `postgres -D PGDATA`, not children."""
    wanted = f"-D {pgdata}"
    return [p for p in everyone() if p.command.endswith(wanted) and "/postgres " in p.command]


def postgres_processes(pgdata: Path) -> list[Process]:
    """Every process whose working directory is the cluster: postmasters, backends, workers."""
    # A witness asks this all the time: one look at each process, and two more at the few it seeks.
    return [
        process
        for entry in os.listdir("/proc")  # noqa: PTH208 - ten times as fast
        if entry.isdigit() and _works_in(int(entry), str(pgdata)) and (process := read(int(entry)))
    ]


def _works_in(pid: int, folder: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == folder and _has_memory(pid)  # noqa: PTH115 - the same
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False
