"""The command `appliance`, run to its end by processes that have loaded it already.

To load it takes half a second of processor time, and the tests run it a thousand times. A server
of each test process loads it once, and every run is a fork of that one: a process of its own with
its own arguments, environment, folder and files. `tests/cli` and whatever runs COMMAND itself
start it as people do.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

from tests.harness import command_server, processes

COMMAND = Path(sys.executable).with_name("appliance")

# They are looked at when an interpreter starts, and never again.
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")


def run(
    arguments: list[str],
    environment: dict[str, str],
    timeout_s: float,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end; raises TimeoutExpired, and ends it, if that takes too long."""
    if not _would_start_so(environment):
        return subprocess.run(
            [COMMAND, *arguments],
            env=environment,
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        open(os.devnull, "rb") as nothing,
    ):
        source = nothing if isinstance(stdin, int) else stdin
        code = _ask([source, output, errors], arguments, environment, timeout_s)
        said = [_read(file) for file in (output, errors)]
    return subprocess.CompletedProcess(["appliance", *arguments], code, *said)


def _would_start_so(environment: dict[str, str]) -> bool:
    names = {name for name in {*environment, *os.environ} if name.startswith(_OF_THE_INTERPRETER)}
    return all(environment.get(name) == os.environ.get(name) for name in names)


def _ask(
    files: list[IO[bytes]], arguments: list[str], environment: dict[str, str], timeout_s: float
) -> int:
    request = {"arguments": arguments, "environment": environment, "folder": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX) as connection, tempfile.TemporaryFile() as spoken:
        spoken.write(json.dumps(request).encode())
        spoken.flush()
        connection.connect(_server())
        descriptors = [file.fileno() for file in (spoken, *files)]
        socket.send_fds(connection, [b"run"], descriptors)
        with connection.makefile() as answers:
            pid = int(answers.readline())
            connection.settimeout(timeout_s)
            try:
                return int(answers.readline())
            except TimeoutError as error:
                processes.kill(pid)
                raise subprocess.TimeoutExpired(arguments, timeout_s) from error


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


@cache
def _server() -> str:
    """The address of this test process' server, which is started if it is not there yet."""
    address = f"\0appliance-tests-{os.getpid()}"
    server = subprocess.Popen(
        [sys.executable, "-P", command_server.__file__, address[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    with server.stdout as output:
        assert output.readline() == b"ready\n"
    # It ends when its input is closed: at the latest with this process.
    atexit.register(server.communicate)
    return address
