"""Clients that keep asking while containers come and go, in one process of their own.

`python -m bench.redeploy.load` reads its orders as a line of JSON from standard input, then one
command per line: `move PORT` sends every following request to another container and answers
when none is under way to the first one, as the platform's proxy drains it; `end` answers with
every request as JSON, when the last of them has its answer. A request that fails is sent again
until it succeeds, with the same Idempotency-Key: an answer that never came is a stall that does
not end.
"""

import json
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bench.redeploy.outcome import Request

RETRY_S = 0.01
GIVE_UP_S = 90.0
TIMEOUT_S = 60.0

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_NUMBER = b"@NUMBER@"


class _Failed(Exception):  # noqa: N818 - it says what became of a request
    """An attempt was cut off, or answered with something else than what is right."""


class Switch:
    """Which container gets the next request."""

    def __init__(self, port: int) -> None:
        self.ended = threading.Event()
        self._port = port
        self._changed = threading.Condition()
        self._busy: dict[int, int] = {}

    def enter(self, client: int) -> int:
        """The client is about to make an attempt; returns the port to send it to."""
        with self._changed:
            self._busy[client] = self._port
            return self._port

    def leave(self, client: int) -> None:
        """Its attempt is over."""
        with self._changed:
            port = self._busy.pop(client)
            if port != self._port:
                self._changed.notify_all()

    def move(self, port: int) -> None:
        """Choose another container, and wait until nothing is under way to any before it."""
        with self._changed:
            self._port = port
            self._changed.wait_for(lambda: all(used == port for used in self._busy.values()))


class Client:
    """One that sends its next request when the answer to the last is there; reads and writes."""

    def __init__(self, number: int, switch: Switch, reading: bytes, writing: bytes) -> None:
        self.requests: list[Request] = []
        self._number, self._switch = number, switch
        self._reading, self._writing = reading, writing
        self._socket: socket.socket | None = None
        self._port = 0

    def run(self) -> None:
        """Ask until the switch ends it; the last request too lasts until its answer."""
        # Half of the clients begin with a write, so that there is always some of both.
        count = self._number
        while not self._switch.ended.is_set():
            writes = bool(count % 2)
            self.requests.append(self._ask(count, writes))
            count += 1

    def _ask(self, count: int, writes: bool) -> Request:
        number = f"{self._number}-{count}-{time.monotonic_ns()}".encode()
        message = (self._writing if writes else self._reading).replace(_NUMBER, number)
        expected = b"HTTP/1.1 201 " if writes else b"HTTP/1.1 200 "
        began, failures = time.monotonic(), 0
        while not self._attempt(message, expected):
            failures += 1
            if time.monotonic() - began > GIVE_UP_S:
                raise SystemExit(f"no answer for {GIVE_UP_S:g} s")
            time.sleep(RETRY_S)
        return Request(began, time.monotonic(), failures, writes)

    def _attempt(self, message: bytes, expected: bytes) -> bool:
        port = self._switch.enter(self._number)
        try:
            connection = self._connection(port)
            connection.sendall(message)
            _receive(connection, expected)
        except (OSError, _Failed):
            self._close()
            return False
        else:
            return True
        finally:
            self._switch.leave(self._number)

    def _connection(self, port: int) -> socket.socket:
        if self._socket is None or self._port != port:
            self._close()
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._port = port
        return self._socket

    def _close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None


def _receive(connection: socket.socket, expected: bytes) -> None:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    length = _LENGTH.search(data, 0, end + 2)
    if not data.startswith(expected) or length is None:
        raise _Failed
    missing = end + 4 + int(length[1]) - len(data)
    while missing > 0:
        missing -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    if not (piece := connection.recv(1 << 16)):
        raise _Failed
    return piece


def main() -> None:
    """Obey."""
    orders = json.loads(sys.stdin.readline())
    switch = Switch(orders["port"])
    messages = orders["reading"].encode(), orders["writing"].encode()
    clients = [Client(number, switch, *messages) for number in range(orders["clients"])]
    with ThreadPoolExecutor(len(clients)) as threads:
        asked = [threads.submit(client.run) for client in clients]
        while (words := sys.stdin.readline().split()) and words[0] == "move":
            switch.move(int(words[1]))
            print("moved", flush=True)
        switch.ended.set()
    for one in asked:
        # Whoever had no answer ends the bench.
        one.result()
    print(json.dumps([request for client in clients for request in client.requests]))


if __name__ == "__main__":
    main()
