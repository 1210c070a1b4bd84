"""As the first process of a PID namespace, as in a container, it reaps what it inherits."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.command import COMMAND
from tests.harness.requirements import needs_namespaces
from tests.harness.waiting import wait_until


class FirstProcess(Appliance):
    """The same command as PID 1 of a namespace; `process` is its parent outside."""

    command = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", COMMAND)

    @property
    def first(self) -> int:
        """PID 1 of the namespace, as numbered outside."""
        children = [p.pid for p in processes.everyone() if p.parent == self.process.pid]
        return children[0] if children else 0


@pytest.fixture
def contained(make_appliance: Callable[..., Appliance]) -> Iterator[FirstProcess]:
    running = FirstProcess(make_appliance().storage.root)
    try:
        yield running
    finally:
        running.kill_everything()


@needs_namespaces
def test_orphans_are_reaped_and_sigterm_ends_it_with_0(contained: FirstProcess) -> None:
    contained.start().wait_until_up()
    inside = ["nsenter", "--target", str(contained.first), "--pid", "--mount"]
    script = "for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done; sleep 0.01 & sleep 47 &"
    subprocess.run([*inside, "sh", "-c", script], check=True)
    orphans = wait_until(lambda: mine(contained, "sleep 47"), "an orphan is the first's child")
    processes.kill(orphans[0])
    for child in processes.descendants(contained.first):
        if "postgres" not in child.command:
            processes.kill(child.pid)
    wait_until(lambda: not mine(contained, "sleep"), "the orphans are gone")
    wait_until(lambda: not zombies(contained), "no zombie is left")
    contained.wait_until_up()
    subprocess.run([*inside, "sh", "-c", "kill -TERM 1"], check=True)
    assert contained.wait(10) == 0
    assert "database system is shut down" in contained.log


@pytest.mark.first_start
@needs_namespaces
def test_a_sigterm_before_the_programs_run_is_obeyed_as_soon_as_it_can_be(
    contained: FirstProcess,
) -> None:
    contained.start()
    # Held back from here on: bit 14 is SIGTERM, which process 1 would otherwise never see.
    wait_until(lambda: contained.first and blocked(contained.first) >> 14 & 1, "it holds it back")
    os.kill(contained.first, signal.SIGTERM)
    assert contained.wait(10) == 0
    assert "supervisor told to stop signal=SIGTERM" in contained.log


def blocked(pid: int) -> int:
    """The signals that a process blocks, as a bit set."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))


def mine(contained: FirstProcess, command: str) -> list[int]:
    return [
        p.pid
        for p in processes.everyone()
        if p.parent == contained.first and p.command.startswith(command)
    ]


def zombies(contained: FirstProcess) -> list[int]:
    return [p.pid for p in processes.descendants(contained.first) if p.state == "Z"]
