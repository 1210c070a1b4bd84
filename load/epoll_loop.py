"""The closed loop of the bench's throughput: all clients in one thread, a bounded count.

Threads of Python would take turns with each other here, and cost two or three times the processor
time: on a machine that the servers share, that would be measured too.
"""

import select
import time
from contextlib import closing
from dataclasses import dataclass

from load.connection import KeptConnection
from load.http_request import NUMBER
from load.latency import percentile


@dataclass(frozen=True)
class Throughput:
    """Requests per second, times in milliseconds, and the share of one CPU this process took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    own_cpu: float


def drive(port: int, message: bytes, status: int, clients: int, count: int, tag: str) -> Throughput:
    """Send `count` requests. `@NUMBER@` in one becomes `tag` and its number, never used twice.

    Ends the process if an answer is not as it must be.
    """
    connections = [KeptConnection(port) for _ in range(clients)]
    with closing(_EpollLoop(connections, message, status, tag)) as loop:
        cpu, started = time.process_time(), time.perf_counter()
        times = loop.run(count)
        took_s, spent_s = time.perf_counter() - started, time.process_time() - cpu
    p50, p99 = (percentile(sorted(times), share) * 1000 for share in (0.5, 0.99))
    return Throughput(count / took_s, p50, p99, spent_s / took_s)


class _EpollLoop:
    def __init__(
        self, connections: list[KeptConnection], message: bytes, status: int, tag: str
    ) -> None:
        self._connections = {one.open().fileno(): one for one in connections}
        self._message, self._status, self._tag = message, status, tag
        self._sent_at: dict[int, float] = {}

    def run(self, count: int) -> list[float]:
        """Returns how long each of them took, in seconds."""
        numbers, times = iter(range(count)), list[float]()
        with select.epoll() as poll:
            for descriptor, number in zip(self._connections, numbers, strict=False):
                poll.register(descriptor, select.EPOLLIN)
                self._send(descriptor, number)
            while len(times) < count:
                for descriptor, _ in poll.poll():
                    times.append(self._receive(descriptor))
                    if (following := next(numbers, None)) is not None:
                        self._send(descriptor, following)
        return times

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()

    def _send(self, descriptor: int, number: int) -> None:
        unique = f"{self._tag}-{number}".encode()
        self._sent_at[descriptor] = time.perf_counter()
        self._connections[descriptor].send(self._message.replace(NUMBER.encode(), unique))

    def _receive(self, descriptor: int) -> float:
        connection = self._connections[descriptor]
        # A piece that is late is waited for: answers come in one or two.
        response = connection.receive()
        took_s = time.perf_counter() - self._sent_at[descriptor]
        if response.status != self._status or not connection.is_open:
            raise SystemExit(f"unexpected answer: {response.head + response.body[:1000]!r}")
        return took_s
