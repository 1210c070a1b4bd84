"""Requests per second and their times, ours and the bare app in turn, both kept running."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.books import ACCOUNT, PAGE, WRITE, Request
from bench.figures import Aim, Figure
from bench.knobs import Knobs
from bench.load import Result
from bench.processes import ask, free_port, start, stop, wait_until

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
    request: Request
    ours: Target
    bare: Target
    against: str
    results: list[tuple[Result, Result]] = field(default_factory=list)

    def round(self, knobs: Knobs, count: int, number: int) -> tuple[Result, Result]:
        """One slice each; every second round in the opposite order."""
        slices: dict[str, Result] = {}
        for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
            target: Target = getattr(self, side)
            raw = self.request.raw(target.key, **target.headers)
            tag = f"{self.number}-{number}"
            slices[side] = load(target.port, raw, self.request.status, knobs.clients, count, tag)
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


def run(ours: Target, bare: Target, knobs: Knobs, folder: Path) -> tuple[list[Match], list[Result]]:
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
            raw = ACCOUNT.raw(ours.key)
            ceiling.append(load(port, raw, 200, knobs.clients, knobs.requests, ""))
    return matches, ceiling


def load(port: int, raw: str, status: int, clients: int, count: int, tag: str) -> Result:
    """Play one slice in a process of its own."""
    orders = {"port": port, "request": raw, "status": status, "clients": clients}
    ran = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps({**orders, "count": count, "tag": tag}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Result(**json.loads(ran.stdout))


def _check_same_answers(ours: Target, bare: Target) -> None:
    for request in (ACCOUNT, PAGE, WRITE):
        answers = [_content(request, target) for target in (ours, bare)]
        if answers[0] != answers[1]:
            raise SystemExit(f"{request.name}: the answers differ: {answers}")


def _content(request: Request, target: Target) -> Any:
    connection = HTTPConnection("127.0.0.1", target.port, timeout=30)
    answer = json.loads(request.send(connection, target.key, "compared"))
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
