"""A real agent whose tasks only say that they began, and end when the test says how.

Run as a program with STORAGE_DIR and APPLIANCE_INSTANCE in its environment, and a folder of named
pipes, one for each task: what the test writes there is the task's exit code.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appliance import settings
from appliance.agent import agent
from appliance.handoff.channel import Channel
from appliance.system import system_users

NAMES = (agent.JOIN, agent.HAND_OVER, agent.RECORD, agent.PRUNE, agent.BACK_UP)
READS_ITS_MAIL = 100


def main(folder: Path, prune_every_s: str) -> int:
    agent._PRUNE_EVERY_S = float(prune_every_s)
    tasks: dict[str, Callable[..., int]] = {
        name: partial(_task, folder / name, name) for name in NAMES
    }
    return agent.run(settings.load().settings, system_users.detect(), tasks)


def _task(pipe: Path, name: str, *arguments: object) -> int:
    facts = [one for one in arguments if not isinstance(one, Channel | int)]
    _say(f"{name} began as {os.getpid()} {facts}")
    code = int(pipe.read_text())
    if code == READS_ITS_MAIL:
        [own_agent] = [one for one in arguments if isinstance(one, Channel)]
        _say(f"{name} has read {own_agent.receive(30)}")
        code = 0
    return code


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
