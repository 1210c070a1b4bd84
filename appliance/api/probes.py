"""Probes that may hang: each has a thread of its own, and its caller waits only so long."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from appliance.errors import ApplianceError

LIMIT_S = 1.5


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found: `facts` if it came back in time, else `error` says what is wrong."""

    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    duration_ms: float = 0.0


class Probe:
    """A function that is asked again and again; while it hangs, nobody asks it a second time.

    The thread is a daemon, so a probe that never returns cannot keep the process from ending.
    """

    def __init__(self, name: str, ask: Callable[[], dict[str, Any]]) -> None:
        self._name = name
        self._ask = ask
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._questions: queue.SimpleQueue[Future[ProbeResult]] = queue.SimpleQueue()
        self._current: Future[ProbeResult] | None = None

    def start(self) -> "Future[ProbeResult]":
        """Ask, or join the question that is still under way."""
        with self._lock:
            if self._current is None or self._current.done():
                self._current = Future()
                self._questions.put(self._current)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
            return self._current

    def _serve(self) -> None:
        while True:
            self._questions.get().set_result(self._find())

    def _find(self) -> ProbeResult:
        started = perf_counter()
        try:
            facts, error = self._ask(), None
        except ApplianceError as failure:
            facts, error = {}, str(failure)
        except Exception as failure:
            facts, error = {}, f"{type(failure).__name__}: {failure}".splitlines()[0]
        return ProbeResult(facts, error, _milliseconds(started))


def run(probes: dict[str, Probe]) -> dict[str, ProbeResult]:
    """Ask all of them at once; none takes longer than the limit."""
    started = perf_counter()
    questions = {name: probe.start() for name, probe in probes.items()}
    return {name: _wait(question, started) for name, question in questions.items()}


def _wait(question: "Future[ProbeResult]", started: float) -> ProbeResult:
    try:
        return question.result(timeout=max(0.0, started + LIMIT_S - perf_counter()))
    except TimeoutError:
        return ProbeResult(error=f"no answer in {LIMIT_S} s", duration_ms=_milliseconds(started))


def _milliseconds(started: float) -> float:
    return round((perf_counter() - started) * 1000, 1)
