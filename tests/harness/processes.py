"""Looking at processes through /proc, as root or as the user that owns them."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process: its number, those of its parent, its group and its session, its state letter
    and its command line."""

    pid: int
    parent: int
    group: int
    session: int
    state: str
    command: str

    @property
    def uid(self) -> int:
        """The effective user it runs as."""
        return Path(f"/proc/{self.pid}").stat().st_uid


def read(pid: int) -> Process | None:
    """Return a process, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            stat = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()
    parent, group, session = map(int, after_name[1:4])
    return Process(pid, parent, group, session, after_name[0], command)


def everyone() -> list[Process]:
    """Every process of this machine."""
    return [process for number in _numbers() if (process := read(number))]


def descendants(pid: int) -> list[Process]:
    """Every process below one, children first."""
    by_parent: dict[int, list[int]] = {}
    for number in _numbers():
        by_parent.setdefault(_parent(number), []).append(number)
    found, queue = [], [pid]
    while queue:
        children = by_parent.get(queue.pop(0), [])
        found += children
        queue += children
    return [process for number in found if (process := read(number))]


def with_descendants(pid: int) -> list[int]:
    """One process and every one below it."""
    return [pid, *(process.pid for process in descendants(pid))]


def kill(pid: int) -> None:
    """SIGKILL a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether it may still run code of its own; a zombie may not, nor may what the kernel ends."""
    process = read(pid)
    return process is not None and process.state != "Z" and _has_memory(pid)


def ended(pid: int) -> bool:
    """Whether it will never run code of its own again."""
    return not alive(pid)


def _has_memory(pid: int) -> bool:
    # The kernel takes a dying process' memory first, then its files (and with them the lock), and
    # shows it as a zombie last.
    try:
        return not Path(f"/proc/{pid}/statm").read_text().startswith("0 ")
    except (FileNotFoundError, ProcessLookupError):
        return False


def postmasters(pgdata: Path) -> list[Process]:
    """The postmasters on one cluster, whoever started them: `postgres -D PGDATA`, not children."""
    return [process for process in everyone() if is_postmaster(process, pgdata)]


def is_postmaster(process: Process | None, pgdata: Path) -> bool:
    """Whether it is the postmaster of this cluster."""
    command = process.command if process else ""
    return command.endswith(f"-D {pgdata}") and "/postgres " in command


def postgres_processes(pgdata: Path) -> list[Process]:
    """Every process whose working directory is the cluster: postmasters, backends, workers.

    Those of containers, too, which know it under another name.
    """
    try:
        cluster = pgdata.stat()
    except (FileNotFoundError, NotADirectoryError):
        return []
    # A witness asks this all the time: one look at each process, and two more at the few it seeks.
    return [
        process for number in _numbers() if _works_in(number, cluster) and (process := read(number))
    ]


def in_container(first: int) -> list[Process]:
    """Every process that sees process `first` as process 1, that one first."""
    namespace = _namespace(first)
    numbers = [number for number in _numbers() if namespace and _namespace(number) == namespace]
    numbers.sort(key=lambda number: number != first)
    return [process for number in numbers if (process := read(number))]


def opened(pid: int) -> list[str]:
    """What a process has open, as the kernel names it; nothing if it is gone."""
    folder, found = Path(f"/proc/{pid}/fd"), list[str]()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for link in folder.iterdir():
            found.append(str(link.readlink()))
    return found


def _numbers() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - fast


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _works_in(pid: int, folder: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), folder) and _has_memory(pid)  # noqa: PTH116 - fast
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - fast
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return ""
