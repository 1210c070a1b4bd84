"""PID 1: supervisord with our rule for giving up, run from one static configuration."""

import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# supervisord's XML-RPC client would load it; nothing here speaks TLS, and it weighs 5 MB.
sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # None: it is not to be found

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from appliance.errors import FINAL, ExitCode
from appliance.supervision.program_output import READ_BYTES, ProgramOutput
from appliance.system import stop_signals
from appliance.system.log import write_line
from appliance.system.process import PIPE_BYTES

PROGRAM = "supervisor"
CONFIGURATION = Path("/etc/appliance/supervisord.conf")

# Postgres ends without an error when it was told to: by a handoff, any number of times.
_MAY_END_WELL = frozenset({"postgres"})

_CHECKOUT = Path(__file__).parents[2] / "rootfs"


@dataclass
class RestartPolicy:
    """A program may end `limit` times within `window_s` seconds; after that we give up."""

    limit: int = 5
    window_s: float = 60.0
    _ends: dict[str, deque[float]] = field(default_factory=dict)

    def gives_up(self, program: str, exit_code: int | None, now: float) -> bool:
        """Decide after a program ended. `exit_code` is None if a signal killed it."""
        ends = self._ends.setdefault(program, deque())
        ends.append(now)
        while ends[0] <= now - self.window_s:
            ends.popleft()
        return exit_code in FINAL or len(ends) >= self.limit


def run() -> int:
    """Run the programs until a signal ends them or one cannot be kept up; return the exit code."""
    options = _Options()
    options.realize(["-c", str(configuration())])
    options.first, options.test = True, False
    try:
        _Supervisor(options).main()
    except asyncore.ExitNow:
        options.close_logger()
    write_line(PROGRAM, "stopped", exit_code=int(options.exit_code))
    return options.exit_code


def configuration() -> Path:
    """The checkout's configuration under `make up`, the image's in the container."""
    in_checkout = _CHECKOUT / CONFIGURATION.relative_to("/")
    return in_checkout if in_checkout.exists() else CONFIGURATION


def in_image() -> bool:
    """Whether this is the image; else a checkout, where every start is a new container's."""
    return configuration() == CONFIGURATION


class _Options(ServerOptions):  # type: ignore[misc]  # it has no types
    """supervisord's options, which also reap: here every end of a program passes."""

    exit_code: int = ExitCode.OK

    def __init__(self) -> None:
        super().__init__()
        self.policy = RestartPolicy()
        self.waker = _Waker()
        self._outputs: dict[str, ProgramOutput] = {}

    def setsignals(self) -> None:
        super().setsignals()
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        signal.set_wakeup_fd(self.waker.write_end, warn_on_full_buffer=False)
        # What came during the start was held back, and is obeyed now.
        stop_signals.let_through()

    def get_signal(self) -> int | None:
        received: int | None = super().get_signal()
        if received not in stop_signals.STOP_SIGNALS:
            return received
        if self.mood >= SupervisorStates.RUNNING:
            write_line(PROGRAM, "told to stop", signal=signal.Signals(received).name)
        return signal.SIGTERM

    def write_pidfile(self) -> None:
        """Nobody needs the file, and its default place is wherever we were started."""

    def waitpid(self) -> tuple[int | None, int | None]:
        pid, status = super().waitpid()
        process = self.pidhistory.get(pid)
        if process is not None:
            self._hear_out(process)
            # supervisord starts programs before it reaps: without this, a second later. That is
            # soon enough for a Postgres that was handed to another container, and leaves that
            # one the processor.
            if os.waitstatus_to_exitcode(status) != 0:
                self.waker.wake()
            self._program_ended(process, status)
        return pid, status

    def hear(self, event: Any) -> None:
        """A program has said something beside the log."""
        name = event.process.config.name
        self._outputs.setdefault(name, ProgramOutput(name)).add(event.data)

    def give_up(self, program: str, exit_code: int | None) -> None:
        """End everything with a code that is never zero."""
        known = exit_code in set(ExitCode) and exit_code
        self.exit_code = int(known or ExitCode.FAILURE)
        write_line(PROGRAM, f"{program} cannot be kept running; stopping everything", level="error")
        self.mood = SupervisorStates.SHUTDOWN

    def _hear_out(self, process: Any) -> None:
        # supervisord itself reads once, which can be less than the pipe holds.
        for dispatcher in process.dispatchers.values():
            for _ in range(PIPE_BYTES // READ_BYTES + 1):
                if dispatcher.readable():
                    dispatcher.handle_read_event()
        if output := self._outputs.pop(process.config.name, None):
            output.end()

    def _program_ended(self, process: Any, status: int) -> None:
        name, exit_code = process.config.name, os.waitstatus_to_exitcode(status)
        if process.killing or self.mood < SupervisorStates.RUNNING:
            return
        ended_well = name in _MAY_END_WELL and exit_code == 0
        how = {"exit_code": exit_code} if exit_code >= 0 else {"signal": -exit_code}
        write_line(
            PROGRAM, f"the program {name} ended", level="info" if ended_well else "warning", **how
        )
        if ended_well:
            return
        if self.policy.gives_up(name, exit_code if exit_code >= 0 else None, time.monotonic()):
            self.give_up(name, exit_code)


class _Supervisor(Supervisor):  # type: ignore[misc]  # it has no types
    def runforever(self) -> None:
        events.subscribe(events.ProcessStateFatalEvent, self._cannot_start)
        events.subscribe(events.ProcessLogStdoutEvent, self.options.hear)
        # It waits for an event, up to a second, before it starts the first program.
        self.options.waker.wake()
        super().runforever()

    def _cannot_start(self, event: Any) -> None:
        if self.options.mood >= SupervisorStates.RUNNING:
            self.options.give_up(event.process.config.name, None)


class _Waker:
    """A pipe in supervisord's poll loop, which otherwise sees a signal up to a second late."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)
        asyncore.socket_map[self.read_end] = self

    def wake(self) -> None:
        try:
            os.write(self.write_end, b"\0")
        except BlockingIOError:
            return

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        os.read(self.read_end, 4096)

    def handle_error(self) -> None:
        """Nothing to do: an empty pipe is read again at the next signal."""
