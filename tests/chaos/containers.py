"""One container of the fleet: an appliance whose processes are found, paused and killed."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.timeline import Timeline
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.freezing import kill_tree, standing_still
from tests.harness.processes import Process
from tests.harness.waiting import wait_until

# The platform's health check waits so long for an answer.
HEALTH_LIMIT_S = 5.0
# The API's master was killed: its workers notice within a second, and a new one starts.
DOOR_LIMIT_S = 10.0
# The supervisor gives up at the fifth end of one program within a minute; that is no accident.
ENDS_LIMIT = 3

_RECENT = 50


@dataclass
class Window:
    """A time in which a container may cut requests, because we killed what serves them."""

    why: str
    began: float
    ended: float | None = None

    def covers(self, since: float, until: float) -> bool:
        """Whether a request of that time may have met it."""
        return until >= self.began and (self.ended is None or since <= self.ended)


class Container(Appliance):
    """An `appliance up` with a name. What it says goes to the timeline, too."""

    def __init__(self, name: str, storage: Path, timeline: Timeline, **variables: str) -> None:
        super().__init__(storage, **variables)
        self.name = name
        self.ends: Counter[str] = Counter()
        self._windows: list[Window] = []
        self._timeline = timeline

    def excuse(self, since: float, until: float) -> str | None:
        """Why a request of that time may have got no answer from here, None if nothing excuses."""
        return next((w.why for w in self._windows if w.covers(since, until)), None)

    def is_running(self) -> bool:
        """Whether its supervisor lives."""
        return self.process.poll() is None

    def has_requested(self) -> bool:
        """Whether it has said that it requests the database."""
        return any("requested the database from" in line for line in self.lines[-_RECENT:])

    def tree(self, program: str | None = None) -> list[Process]:
        """A program and all below it, parents first; without a name the whole container."""
        if not self.is_running():
            return []
        top = processes.read(self.process.pid) if program is None else self.programs().get(program)
        return [top, *processes.descendants(top.pid)] if top else []

    def kill_program(self, program: str) -> None:
        """SIGKILL a program of the supervisor, but nothing below it; waits for its end."""
        tree = wait_until(lambda: self.tree(program), f"{program} of {self.name}")
        self.ends[program] += 1
        self.kill(tree[0])

    def kill_supervisor(self) -> None:
        """SIGKILL the supervisor; the kernel and the programs themselves end all the rest."""
        rest = [process.pid for process in self.tree()[1:]]
        self.note_killed()
        self.kill(self.tree()[0])
        self.process.wait(10)
        wait_until(lambda: not any(map(processes.alive, rest)), f"end of {rest} of {self.name}")

    def kill(self, victim: Process) -> None:
        """SIGKILL one process and wait for its end."""
        self._timeline.note(self.name, f"SIGKILL {victim.pid} {victim.command[:60]}")
        processes.kill(victim.pid)
        wait_until(lambda: _is_gone(victim.pid), f"end of {victim.pid}")

    def kill_api(self) -> None:
        """SIGKILL the API's master; returns when a new one serves and nothing of the old lives."""
        before = {process.pid for process in self.tree("api")}

        def serves_again() -> bool:
            return all(map(_is_gone, before)) and self.status("/health", HEALTH_LIMIT_S) == 200

        with self._window("door down"):
            self.kill_program("api")
            wait_until(serves_again, f"{self.name} serves after its API was killed", DOOR_LIMIT_S)
        self._timeline.note(self.name, "the door is open again")

    def kill_backend(self, die: int) -> None:
        """SIGKILL one process of Postgres, but not the postmaster."""
        backends = wait_until(lambda: self.tree("postgres")[1:], f"{self.name} has backends")
        self.kill(_pick(backends, die))

    def kill_worker(self, die: int) -> None:
        """SIGKILL one worker of the API; only what it has in hand may be cut."""
        workers = wait_until(lambda: self.tree("api")[1:], f"{self.name} has workers")
        with self._window("worker killed"):
            self.kill(_pick(workers, die))

    @contextmanager
    def paused(self, program: str | None = None) -> Iterator[None]:
        """SIGSTOP a program and all below it, or everything, then SIGCONT."""
        with standing_still(*(process.pid for process in self.tree(program)[:1])) as stopped:
            self._timeline.note(self.name, f"paused: {program or 'everything'} {stopped}")
            yield
        self._timeline.note(self.name, "goes on")

    def note_killed(self) -> None:
        """From now on it may cut requests: it is about to be killed as a whole."""
        self._windows.append(Window("container killed", time.monotonic()))

    @contextmanager
    def _window(self, why: str) -> Iterator[None]:
        window = Window(why, time.monotonic())
        self._windows.append(window)
        yield
        window.ended = time.monotonic()

    def _collect(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(f"{self._timeline.seconds():9.3f}  {line.rstrip()}")
            self._timeline.note_log(self.name, line.rstrip())


def kill_together(doomed: Sequence[Container]) -> None:
    """SIGKILL everything of several containers at once, as an outage of the machine would."""
    for container in doomed:
        container.note_killed()
    everything = kill_tree(*(one.process.pid for one in doomed if one.is_running()))
    for container in doomed:
        container.process.wait(10)
    wait_until(lambda: not any(map(processes.alive, everything)), f"end of {everything}")


def _pick(among: Sequence[Process], die: int) -> Process:
    """The one that the die says."""
    return sorted(among, key=lambda process: process.pid)[die % len(among)]


def _is_gone(pid: int) -> bool:
    # Its connections are closed when the last of its threads is gone, which is after its memory.
    process = processes.read(pid)
    if process is None:
        return True
    try:
        return process.state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True
