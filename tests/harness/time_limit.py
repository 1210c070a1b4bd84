"""A limit of time for each test, which grows with the machine's load.

As pytest-timeout has it, without one more dependency: set-up, call and tear-down may each take so
long. `@pytest.mark.time_limit(600)` gives a test another number of seconds.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from tests.harness import speed

LIMIT_S = 120.0


def pytest_configure(config: pytest.Config) -> None:
    """Measure the machine, once for all test processes, unless somebody knows better."""
    config.addinivalue_line("markers", "time_limit(seconds): another limit for a long test")
    if not hasattr(config, "workerinput") and not os.environ.get(speed.VARIABLE):
        os.environ[speed.VARIABLE] = str(speed.measure(config.getoption("numprocesses") or 1))


def pytest_report_header() -> str:
    """Say what is allowed."""
    return f"time limit: {LIMIT_S * speed.scale():.0f} s a test ({speed.VARIABLE}={speed.scale()})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Limit the fixtures."""
    with _limited(item, "set-up"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Limit the test."""
    with _limited(item, "test"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Limit what ends the fixtures."""
    with _limited(item, "tear-down"):
        return (yield)


@contextmanager
def _limited(item: pytest.Item, phase: str) -> Iterator[None]:
    mark = item.get_closest_marker("time_limit")
    seconds = (mark.args[0] if mark else LIMIT_S) * speed.scale()

    def bite(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"the {phase} took over {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, bite)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
