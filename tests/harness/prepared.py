"""Storages whose first start is over: made once by the real program, then copied.

A first start costs a second of processor time, and most tests begin after it. Those that are about
it are marked `first_start` and get none of this. Copies have one system identifier.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.appliance import Appliance, ending
from tests.harness.fast import skip_if_fast
from tests.harness.folders import short_folder

# Not APPLIANCE_…: each program would warn that it is none of its settings.
_SHARED = "TESTS_SHARED_STORAGE"


@contextmanager
def shared_by_all_processes() -> Iterator[None]:
    """In this block all test processes that are started share one original."""
    with short_folder() as folder:
        os.environ[_SHARED] = str(folder)
        yield


@contextmanager
def prepared_storage() -> Iterator[Path]:
    """The root of a storage where an appliance ran once and was stopped; removed at the end."""
    with short_folder() as folder:
        yield copy_to(folder / "s")


def copy_to(root: Path) -> Path:
    """Make such a storage, unless there is something already."""
    skip_if_fast()
    if not os.path.lexists(root):
        subprocess.run(["cp", "--archive", "--reflink=auto", _original(), root], check=True)
    return root


def _original() -> Path:
    folder = Path(os.environ[_SHARED])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "s").exists():
            _run_once(folder / "new")
            (folder / "new").rename(folder / "s")
    return folder / "s"


def _run_once(root: Path) -> None:
    with ending(Appliance(root)) as appliance:
        code = appliance.start().wait_until_up().stop()
        assert code == 0, appliance.log
