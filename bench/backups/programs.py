"""Running a program to its end: how long it took, and what CPU time it and its children took."""

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from appliance.system.system_users import SystemUser
from bench.processes import Process, kill, start


@dataclass
class Sample:
    """Seconds by the clock, and seconds of CPU."""

    seconds: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def measured() -> Iterator[Sample]:
    """Measure what runs in the block and has ended at its end."""
    # What was written before is not waited for by what is measured.
    os.sync()
    sample, cpu, began = Sample(), _cpu_s(), perf_counter()
    yield sample
    sample.seconds, sample.cpu_s = perf_counter() - began, _cpu_s() - cpu


def run(
    command: Sequence[str | Path],
    log: Path,
    user: SystemUser | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end, its output in a file; the bench ends if it fails."""
    finish(start(command, log, environment or {}, user), log)


@contextmanager
def ending(process: Process) -> Iterator[None]:
    """Whatever breaks the block off ends the process too."""
    try:
        yield
    except BaseException:
        kill(process)
        raise


def finish(process: Process, log: Path) -> None:
    """Wait for its end, or put an end to it if we are ended; the bench ends if it failed."""
    with ending(process):
        code = process.wait()
    if code != 0:
        raise SystemExit(f"{process.args!r} failed:\n{log.read_text()[-3000:]}")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
