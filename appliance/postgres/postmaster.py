"""This container's own postmaster, seen from the programs beside it."""

import os
import select
import signal
from pathlib import Path

from appliance.storage.paths import Storage


class Postmaster:
    """A running postmaster. It is held by a descriptor, so no other process can be meant."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def shut_down(self) -> None:
        """Ask for the fast shutdown: end every session, checkpoint, exit."""
        signal.pidfd_send_signal(self._descriptor, signal.SIGINT)

    def abort(self) -> None:
        """Ask for the immediate shutdown; it kills after 5 s whatever does not end by itself."""
        signal.pidfd_send_signal(self._descriptor, signal.SIGQUIT)

    def has_ended(self, within_s: float) -> bool:
        """Wait for its end, so long at most."""
        return bool(select.select([self._descriptor], [], [], within_s)[0])


def find(storage: Storage, supervisor: int) -> Postmaster | None:
    """The postmaster that this process runs as its child, or None if it runs none (a standby)."""
    try:
        first = (storage.pgdata / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0]
        descriptor = os.pidfd_open(int(first))
    except (OSError, ValueError):
        return None
    # The number may be of another container, whose processes have numbers of their own. Asked
    # after the descriptor is open, the parent is that of the process which is held.
    if _parent(int(first)) != supervisor:
        os.close(descriptor)
        return None
    return Postmaster(descriptor)


def _parent(pid: int) -> int | None:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        return int(after_name.split()[1])
    except (OSError, ValueError, IndexError):
        return None
