"""The load generator in a process of its own: it shares no interpreter with what measures."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from load.client import Retry
from load.epoll_loop import Throughput
from load.generator import LoadGenerator
from load.http_request import HttpRequest
from load.outcomes import Sample
from load.switch import Switch

# A request that fails is sent again, with the same Idempotency-Key, until it succeeds: an answer
# that never came is a stall that does not end.
RETRY_S = 0.01
GIVE_UP_S = 90.0
ANSWER_LIMIT_S = 60.0

_COMMAND = (sys.executable, "-m", "load")


@dataclass(frozen=True)
class Port:
    """A backend that is known by its port."""

    number: int

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.number}"


class Traffic:
    """Clients that send these requests in turn, from the moment this is made.

    Leave the `with` block, whatever happens: it ends them.
    """

    def __init__(self, port: int, key: str, requests: Sequence[HttpRequest], clients: int) -> None:
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        orders = {"port": port, "key": key, "clients": clients}
        self._say(json.dumps({**orders, "requests": [asdict(one) for one in requests]}))

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def move(self, port: int) -> None:
        """Send what follows to another container, and let the first one finish what it has."""
        self._say(f"move {port}")
        self._hear()

    def end(self) -> list[Sample]:
        """Wait for the last answers; returns a sample of every request."""
        self._say("end")
        found = json.loads(self._hear())
        self._process.wait(10)
        return [Sample(*sample) for sample in found]

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("The load generator ended by itself.")
        return line


def measure(
    port: int, message: bytes, status: int, clients: int, count: int, tag: str
) -> Throughput:
    """Send so many requests, as `epoll_loop.drive` does."""
    orders: dict[str, Any] = {"port": port, "message": message.decode(), "status": status}
    ran = subprocess.run(
        _COMMAND,
        input=json.dumps({**orders, "clients": clients, "count": count, "tag": tag}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Throughput(**json.loads(ran.stdout))


def keep_asking(
    port: Port, key: str, requests: Sequence[HttpRequest], clients: int
) -> LoadGenerator[Port]:
    """Clients that send these requests in turn, each until it succeeds."""
    return LoadGenerator(
        Switch(port, limit_s=GIVE_UP_S),
        key,
        lambda number: requests[number % len(requests)],
        clients=clients,
        retry=Retry(lambda _: "failed", RETRY_S, GIVE_UP_S),
        answer_limit_s=ANSWER_LIMIT_S,
    )
