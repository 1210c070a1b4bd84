"""When Postgres takes connections, as it says itself in the file of its number."""

from pathlib import Path

from appliance.storage.paths import Storage
from bench.processes import POLL_S, Process, wait_until

_STATUS_LINE = 7


def wait_until_ready(
    storage: Storage, process: Process, log: Path, every_s: float = POLL_S
) -> None:
    """Wait until it takes connections; who connects then is not refused.

    Nobody connects before: that costs the server a process and a line in its log. It would be
    slower than it can be, and its log would not say what else is wrong.
    """
    wait_until(lambda: is_ready(storage, process) or None, process, log, every_s)


def is_ready(storage: Storage, process: Process) -> bool:
    """Whether this postmaster, and none before it, says that it is ready."""
    try:
        lines = (storage.pgdata / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return False
    return lines[0] == str(process.pid) and "ready" in "".join(lines[_STATUS_LINE:])
