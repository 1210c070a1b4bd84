"""A witness: samples all processes all the time and notes when a cluster has two masters."""

import threading
import time
from pathlib import Path

from tests.harness import processes
from tests.harness.processes import Process


class PostmasterWatch:
    """Samples /proc from a thread of its own while a test breaks things.

    A violation is a postmaster beside any Postgres process on the same cluster that is not its
    own: another postmaster, or a backend that an earlier one left behind.
    """

    def __init__(self, pgdata: Path) -> None:
        self.violations: list[str] = []
        self.samples = 0
        self.postmasters_seen: set[int] = set()
        self._pgdata = pgdata
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PostmasterWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Fail if it has seen a violation, or no postmaster at all."""
        assert self.postmasters_seen
        assert self.violations == []

    def _watch(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            looked = time.thread_time()
            self._sample()
            # Beside other tests there are more processes to look at; most time is left to them.
            pause = max(0.005, 3 * (time.thread_time() - looked))

    def _sample(self) -> None:
        self.samples += 1
        alive = processes.postgres_processes(self._pgdata)
        masters = [p for p in alive if is_postmaster(p)]
        self.postmasters_seen |= {p.pid for p in masters}
        strangers = [p for m in masters[:1] for p in alive if m.pid not in (p.pid, p.parent)]
        # Processes are read one after the other: it counts only if all of them are still there.
        if strangers and self._still_there(masters + strangers):
            self.violations.append(f"{masters} beside {strangers}")

    def _still_there(self, suspects: list[Process]) -> bool:
        now = {p.pid for p in processes.postgres_processes(self._pgdata)}
        return all(suspect.pid in now for suspect in suspects)


def is_postmaster(process: Process) -> bool:
    """Whether it is the postmaster that a supervisor has started, and no child of one.

    supervisord gives each program a group of its own. A child that was forked just now still has
    the command line of its postmaster, also if that one is dead; but it is in the group of that
    one, until it makes itself the leader of a session.
    """
    leads_group_only = process.session != process.pid == process.group
    return "/postgres -D " in process.command and leads_group_only
