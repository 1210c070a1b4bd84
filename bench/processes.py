"""Starting, awaiting and ending the processes that are measured."""

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from appliance.system.system_users import SystemUser, drop_privileges
from bench.memory import tree

T = TypeVar("T")
Process = subprocess.Popen[bytes]

POLL_S = 0.002
DEADLINE_S = 60.0


def start(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str],
    user: SystemUser | None = None,
) -> Process:
    """Start a program, as another user if we may, with its output in a file."""

    def drop() -> None:
        if user is not None:
            program = Path(command[0])
            drop_privileges(user, log.parent, program, Path(sys.prefix), Path(sys.base_prefix))

    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            env={**clean, **environment},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            preexec_fn=drop,  # noqa: PLW1509 - the bench has no other threads
            start_new_session=True,
        )


def wait_until(
    fact: Callable[[], T | None], process: Process, log: Path, every_s: float = POLL_S
) -> T:
    """Poll until there is a value; fails with the log if the process ends or time is up."""
    deadline = time.perf_counter() + DEADLINE_S
    while (value := fact()) is None:
        if process.poll() is not None or time.perf_counter() > deadline:
            ended = f"ended with {process.returncode}"
            why = f"is not up after {DEADLINE_S:.0f} s" if process.returncode is None else ended
            raise SystemExit(f"{process.args!r} {why}:\n{log.read_text()[-3000:]}")
        time.sleep(every_s)
    return value


def wait_until_up(port: int, process: Process, log: Path, every_s: float = POLL_S) -> None:
    """Poll /up until the first 200."""

    def up() -> bool | None:
        return True if ask(port, "/up") == 200 else None

    wait_until(up, process, log, every_s)


def ask(port: int, path: str) -> int:
    """The status of a GET on a connection of its own, 0 if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def stop(process: Process, with_signal: int = signal.SIGTERM) -> None:
    """Ask it to end and wait; the bench ends if it has to be killed.

    What is measured next would start after a crash, and not after the clean stop that it is for.
    """
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        kill(process)
        raise SystemExit(f"{process.args!r} did not end in {DEADLINE_S:.0f} s.") from None


def kill(*processes: Process) -> None:
    """End them and all below them with SIGKILL, together, and wait for the last of them."""
    ends = []
    for pid in [pid for process in processes for pid in tree(process.pid)]:
        with suppress(ProcessLookupError):
            ends.append(os.pidfd_open(pid))
            os.kill(pid, signal.SIGKILL)
    for end in ends:
        select.select([end], [], [], 10)
        os.close(end)
    for process in processes:
        process.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
