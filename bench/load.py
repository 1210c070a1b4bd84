"""The load generator: a closed loop of keep-alive clients in one process of its own.

`python -m bench.load` reads its orders as JSON from standard input and answers with JSON. It
speaks HTTP on raw sockets, so that it costs a small part of what any of the servers cost.
"""

import json
import re
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_NUMBER = b"@NUMBER@"


@dataclass(frozen=True)
class Result:
    """Requests per second, times in milliseconds, and the share of one CPU this process took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    own_cpu: float


def drive(port: int, request: bytes, status: int, clients: int, count: int, tag: str) -> Result:
    """Send `count` requests. `@NUMBER@` in one becomes `tag` and its number, never used twice."""
    expected = b"HTTP/1.1 %d " % status
    times: list[float] = []
    poll = select.epoll()
    sockets = {s.fileno(): s for s in (_connect(port) for _ in range(clients))}
    sent_at: dict[int, float] = {}
    sent = 0
    cpu, started = time.process_time(), time.perf_counter()

    def send(client: socket.socket) -> None:
        nonlocal sent
        sent_at[client.fileno()] = time.perf_counter()
        client.sendall(request.replace(_NUMBER, f"{tag}-{sent}".encode()))
        sent += 1

    for descriptor, client in sockets.items():
        poll.register(descriptor, select.EPOLLIN)
        send(client)
    while len(times) < count:
        for descriptor, _ in poll.poll():
            client = sockets[descriptor]
            _receive(client, expected)
            times.append(time.perf_counter() - sent_at[descriptor])
            if sent < count:
                send(client)
    took, spent = time.perf_counter() - started, time.process_time() - cpu
    for client in sockets.values():
        client.close()
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    return Result(count / took, p50, p99, spent / took)


def _connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _receive(client: socket.socket, expected: bytes) -> None:
    """Read one whole answer. A piece that is late is waited for: answers come in one or two."""
    data = client.recv(1 << 16)
    while (end := data.find(b"\r\n\r\n")) < 0 and data:
        data += _more(client)
    length = _LENGTH.search(data, 0, end + 2)
    if not data.startswith(expected) or length is None:
        raise SystemExit(f"unexpected answer: {data[:1000]!r}")
    missing = end + 4 + int(length[1]) - len(data)
    while missing > 0:
        missing -= len(_more(client))


def _more(client: socket.socket) -> bytes:
    piece = client.recv(1 << 16)
    if not piece:
        raise SystemExit("the server closed the connection inside an answer")
    return piece


def main() -> None:
    """Obey the orders."""
    orders: dict[str, Any] = json.load(sys.stdin)
    orders["request"] = orders["request"].encode()
    json.dump(asdict(drive(**orders)), sys.stdout)


if __name__ == "__main__":
    main()
