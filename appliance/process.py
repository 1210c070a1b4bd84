"""The one module that starts processes or becomes another program.

>>> run(["echo", "hello"]).stdout
'hello\\n'
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from appliance.errors import ApplianceError

# A number above what supervisord closes in its children (minfds in supervisord.conf).
LOG_DESCRIPTOR = 200

_PR_SET_PDEATHSIG = 1


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    check: bool = True,
    prepare: Callable[[], None] | None = None,
    inherit: Sequence[int] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end and return its output as text.

    A non-zero exit raises ApplianceError with the program's last lines, unless `check` is false.
    `prepare` runs in the child before the program, to drop privileges for example. The
    descriptors in `inherit` stay open in the program.
    """
    words = [str(word) for word in command]
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
        preexec_fn=prepare,  # safe: only single-threaded programs of ours start others
    )
    if check and result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-8:]
        raise ApplianceError(
            f"{Path(words[0]).name} failed with exit code {result.returncode}: {' / '.join(said)}"
        )
    return result


def become(program: Path, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `program`, with the environment as it is.

    The absolute path is also argv[0]: Postgres finds its own files by it.
    """
    os.execv(program, [str(program), *arguments])


def keep_open(descriptor: int) -> None:
    """Let a descriptor live on in the program that this process becomes."""
    os.set_inheritable(descriptor, True)


def end_with_parent() -> None:
    """Have the kernel kill this process when the supervisor dies, as it does in a container.

    Call it after privileges were dropped, which clears it; exec keeps it (prctl(2)).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def keep_log_descriptor() -> None:
    """Keep a copy of standard output that the supervised programs inherit.

    They then write to the container's log themselves: a line costs no detour through the
    supervisor, and a supervisor that is busy cannot hold a program up.
    """
    os.dup2(1, LOG_DESCRIPTOR, inheritable=True)


def adopt_log_descriptor() -> None:
    """Write standard output and error to the descriptor that the supervisor kept, if it did."""
    try:
        os.dup2(LOG_DESCRIPTOR, 1)
        os.dup2(LOG_DESCRIPTOR, 2)
        os.close(LOG_DESCRIPTOR)
    except OSError:
        return
