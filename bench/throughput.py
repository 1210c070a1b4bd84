"""Requests per second and their times, ours and the bare app in turn, both kept running."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.books import ACCOUNT, PAGE, WRITE, send
from bench.figures import Aim, Figure
from bench.knobs import Knobs
from bench.processes import ask, free_port, start, stop, wait_until
from load.connection import KeptConnection
from load.epoll_loop import Throughput
from load.http_request import HttpRequest
from load.own_process import measure

_FAST = Aim(">=", 0.9)


@dataclass(frozen=True)
class Target:
    """A server, the key it knows, and headers of its own."""

    port: int
    key: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A request that two servers answer in turn, round by round."""

    number: int
    request: HttpRequest
    ours: Target
    bare: Target
    against: str
    results: list[tuple[Throughput, Throughput]] = field(default_factory=list)

    def round(self, knobs: Knobs, count: int, number: int) -> tuple[Throughput, Throughput]:
        """One slice each; every second round in the opposite order."""
        slices: dict[str, Throughput] = {}
        for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
            target: Target = getattr(self, side)
            tag = f"{self.number}-{number}"
            slices[side] = load(target, self.request, knobs.clients, count, tag)
        return slices["ours"], slices["bare"]

    def figures(self) -> list[Figure]:
        """The three lines of the table."""
        kinds = (("per_second", "requests/s"), ("p50_ms", "p50 ms"), ("p99_ms", "p99 ms"))
        return [
            Figure(
                self.request.name,
                unit,
                tuple(getattr(ours, name) for ours, _ in self.results),
                tuple(getattr(bare, name) for _, bare in self.results),
                self.against,
                _FAST if name == "per_second" else None,
            )
            for name, unit in kinds
        ]


def run(
    ours: Target, bare: Target, knobs: Knobs, folder: Path
) -> tuple[list[Match], list[Throughput]]:
    """Play every match, and find the load generator's own ceiling in the same minutes."""
    _check_same_answers(ours, bare)
    with_token = Target(bare.port, bare.key, {"X-Commit-Token": "1"})
    matches = [
        Match(0, ACCOUNT, ours, bare, "bare app, same SQL"),
        Match(1, PAGE, ours, bare, "bare app, same SQL"),
        Match(2, WRITE, ours, with_token, "bare app, same SQL"),
        Match(3, WRITE, ours, bare, "bare app, without commit token"),
    ]
    ceiling = []
    with _trivial_server(folder) as port:
        for number in range(knobs.rounds + 1):
            count = knobs.requests if number else knobs.warmup
            for match in matches:
                slices = match.round(knobs, count, number)
                if number:
                    match.results.append(slices)
            ceiling.append(load(Target(port, ours.key), ACCOUNT, knobs.clients, knobs.requests, ""))
    return matches, ceiling


def load(target: Target, request: HttpRequest, clients: int, count: int, tag: str) -> Throughput:
    """Play one slice."""
    message = request.message(target.key, **target.headers)
    return measure(target.port, message, request.status, clients, count, tag)


def _check_same_answers(ours: Target, bare: Target) -> None:
    for request in (ACCOUNT, PAGE, WRITE):
        answers = [_content(request, target) for target in (ours, bare)]
        if answers[0] != answers[1]:
            raise SystemExit(f"{request.name}: the answers differ: {answers}")


def _content(request: HttpRequest, target: Target) -> Any:
    connection = KeptConnection(target.port)
    answer = json.loads(send(connection, request, target.key, "compared"))
    connection.close()
    return _without_times(answer)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(v) for name, v in value.items() if name != "created_at"}
    return [_without_times(entry) for entry in value] if isinstance(value, list) else value


@contextmanager
def _trivial_server(folder: Path) -> Iterator[int]:
    port, log = free_port(), folder / "ceiling.log"
    process = start([sys.executable, "-m", "bench.ceiling", str(port)], log, {})
    try:
        wait_until(lambda: ask(port, "/") or None, process, log)
        yield port
    finally:
        stop(process)
