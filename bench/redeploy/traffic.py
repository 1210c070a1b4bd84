"""The load generator's handle."""

import json
import subprocess
import sys
from contextlib import suppress

from bench.books import ACCOUNT, WRITE
from bench.redeploy.outcome import Request


class Traffic:
    """Clients that read and write, from the moment this is made. `end` it, whatever happens."""

    def __init__(self, port: int, key: str, clients: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.redeploy.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        messages = {"reading": ACCOUNT.raw(key), "writing": WRITE.raw(key)}
        self._say(json.dumps({"port": port, "clients": clients, **messages}))

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def move(self, port: int) -> None:
        """Send what follows to another container, and let the first one finish what it has."""
        self._say(f"move {port}")
        self._hear()

    def end(self) -> list[Request]:
        """Wait for the last answers; returns every request."""
        self._say("end")
        found = json.loads(self._hear())
        self._process.wait(10)
        return [Request(*request) for request in found]

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
