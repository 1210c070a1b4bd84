"""The one module that starts processes or becomes another program.

>>> run(["echo", "hello"]).stdout
'hello\\n'
"""

import ctypes
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn, cast

from appliance.errors import ApplianceError
from appliance.system.log import write_line

# A number above what supervisord closes in its children (minfds in supervisord.conf).
LOG_DESCRIPTOR = 200
# The most that the kernel allows everybody.
PIPE_BYTES = 1 << 20

PIPE = subprocess.PIPE

# No program of ours is given one as an argument; if ever one is, the log must not have it.
_SECRET = re.compile(r"(?i)((?:password|passphrase|secret|token|key)[\w-]*=|://[^:@/\s]*:).+")

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    check: bool = True,
    prepare: Callable[[], None] = lambda: None,
    inherit: Sequence[int] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end and return its output as text.

    A non-zero exit raises ApplianceError with the program's last lines, unless `check` is false.
    `prepare` runs in the child before the program, to drop privileges for example. The
    descriptors in `inherit` stay open in the program. The kernel kills it if this process dies.
    """
    words = [str(word) for word in command]
    started = time.monotonic()
    result = subprocess.run(
        words,
        env=dict(environment) if environment is not None else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        pass_fds=tuple(inherit),
        preexec_fn=_ending_with_parent(prepare),
    )
    _log_end(words, started, result.returncode)
    if check and result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-8:]
        raise ApplianceError(
            f"{Path(words[0]).name} failed with exit code {result.returncode}: {' / '.join(said)}"
        )
    return result


class RunningProcess:
    """A program that runs beside this one; in a `with` statement it never outlives it.

    `input` and `output` are its pipes, where it was started with them; `prepare` and `inherit`
    are as for `run`. The kernel kills it if the thread that started it dies.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        input: int | IO[bytes] | None = None,  # noqa: A002 - as subprocess has it
        output: int | IO[bytes] | None = None,
        inherit: Sequence[int] = (),
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        # Loaded where it is needed: the programs that run all the time never come here.
        import tempfile

        self._words = [str(word) for word in command]
        self._name = Path(self._words[0]).name
        self._started = time.monotonic()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rest
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.DEVNULL if input is None else input,
            stdout=subprocess.DEVNULL if output is None else output,
            stderr=self._errors,
            pass_fds=tuple(inherit),
            preexec_fn=_ending_with_parent(prepare),  # noqa: PLW1509 - it only calls the kernel
        )

    def __enter__(self) -> "RunningProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # What could not be written any more is of no use to anyone.
                with suppress(OSError):
                    pipe.close()
        _log_end(self._words, self._started, self._process.wait())
        self._errors.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def input(self) -> IO[bytes]:
        """Where it reads from."""
        return cast("IO[bytes]", self._process.stdin)

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        return cast("IO[bytes]", self._process.stdout)

    def ended_within(self, seconds: float) -> bool:
        """Wait so long for its end at most."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def said(self, lines: int = 8) -> str:
        """The last lines of its standard error."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 16384))
        text = self._errors.read().decode(errors="replace")
        return " / ".join(text.strip().splitlines()[-lines:])

    def finish(self) -> None:
        """Wait for its end; raises ApplianceError with its last lines if it failed."""
        code = self._process.wait()
        if code != 0:
            how = f"with exit code {code}" if code > 0 else f"by signal {-code}"
            raise ApplianceError(f"{self._name} failed {how}: {self.said()}")


def fork(name: str, task: Callable[[], int]) -> int:
    """Do something in a child, which ends with the exit code that `task` returns.

    Returns its number; tools like ps show the first 15 bytes of `name`. What it loads is gone with
    it, and it has nothing to load that this process has. The kernel kills it if this process dies.
    See to its end with `ended_children`.
    """
    parent = os.getpid()
    if child := os.fork():
        return child
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        end_with_parent(parent)
        code = task()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def ended_children() -> Iterator[tuple[int, int]]:
    """Bury every child that has ended: its number, and its exit code or minus the signal."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended[0], os.waitstatus_to_exitcode(ended[1])


def wake_when_a_child_ends() -> int:
    """A descriptor for select, which can be read when a child has ended. `drain` it then."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def drain(descriptor: int) -> None:
    """Read all that there is, and forget it."""
    with suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            continue


def exec_program(program: Path, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `program`, with the environment as it is.

    The absolute path is also argv[0]: Postgres finds its own files by it.
    """
    os.execv(program, [str(program), *arguments])  # noqa: S606 - a shell is not wanted


def keep_open(descriptor: int) -> None:
    """Let a descriptor live on in the program that this process becomes."""
    os.set_inheritable(descriptor, True)


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies, as it does in a container.

    Call it after privileges were dropped, which clears it; exec keeps it (prctl(2)). If process
    `parent` was it and died before the kernel was asked, this one is killed at once.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent not in (None, os.getppid()):
        os.kill(os.getpid(), signal.SIGKILL)


def _log_end(words: Sequence[str], started: float, exit_code: int) -> None:
    arguments = " ".join(_SECRET.sub(r"\1***", word) for word in words[1:])
    write_line(
        "appliance",
        f"ran {Path(words[0]).name}",
        level="debug",
        seconds=round(time.monotonic() - started, 3),
        **({"exit_code": exit_code} if exit_code >= 0 else {"signal": -exit_code}),
        arguments=arguments,
    )


def _ending_with_parent(prepare: Callable[[], None]) -> Callable[[], None]:
    """For preexec_fn: it must only call the kernel, since other threads may hold locks."""

    parent = os.getpid()

    def prepare_to_end() -> None:
        prepare()
        end_with_parent(parent)

    return prepare_to_end


def keep_log_descriptor() -> None:
    """Keep a copy of standard output that the supervised programs inherit.

    They then write to the container's log themselves: a line costs no detour through the
    supervisor, and a supervisor that is busy cannot hold a program up.
    """
    os.dup2(1, LOG_DESCRIPTOR, inheritable=True)


def adopt_log_descriptor() -> None:
    """Write standard output to the descriptor that the supervisor kept, if it did.

    Standard error stays a pipe to the supervisor. What finds it full is lost; nobody waits for
    room in it.
    """
    with suppress(OSError):
        os.dup2(LOG_DESCRIPTOR, 1)
        os.close(LOG_DESCRIPTOR)
        os.set_blocking(2, False)
        fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def errors_to_output() -> None:
    """Let standard error go where standard output goes."""
    os.dup2(1, 2)


def output_to_errors() -> None:
    """Let standard output go where standard error goes."""
    os.dup2(2, 1)
