"""`appliance hook post-restore`, killed at one point: just before Python does a certain thing.

Run as `python -m tests.hooks.dying EVENT TEXT`, by an audit event's name and a part of what it is
about. With a third argument the end comes when that file is there, which the thing will make.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from appliance import entry


def main(event: str, text: str, *files: str) -> int:
    """Run the hook until then; the exit code is that of a hook that was not killed."""

    def listen(name: str, arguments: tuple[Any, ...]) -> None:
        if name == event and text in str(arguments):
            if files:
                threading.Thread(target=_die_when_there_is, args=(Path(files[0]),)).start()
            else:
                _die()

    sys.addaudithook(listen)
    sys.argv = ["appliance", "hook", "post-restore"]
    return entry.main()


def _die_when_there_is(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
