"""Waiting for facts, never for time."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.harness import speed

T = TypeVar("T")


def wait_until(fact: Callable[[], T | None], what: str, timeout_s: float = 30.0) -> T:
    """Return the first true value of `fact`; fails with `what` after `timeout_s`.

    On a slow or crowded machine it waits longer.
    """
    timeout_s *= speed.scale()
    deadline = time.monotonic() + timeout_s
    while True:
        looked = time.thread_time()
        value = fact()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        # Who waits leaves the processor to those that are waited for.
        time.sleep(max(0.01, 4 * (time.thread_time() - looked)))
