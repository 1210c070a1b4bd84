"""An agent that the test starts, hears, and whose tasks it ends."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.agent import agent
from appliance.handoff import channel
from appliance.handoff.channel import Channel
from appliance.handoff.messages import Message
from appliance.storage import instances, lock
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.agent.scripted import NAMES
from tests.harness.appliance import free_port
from tests.harness.waiting import wait_until

INSTANCE = "0123456789ab"
CHECKOUT = Path(__file__).parents[2]


class ScriptedAgent:
    """One running agent on a storage of its own, in a container that the test plays."""

    def __init__(self, storage: Storage, pipes: Path, prune_every_s: float = 3600) -> None:
        self.storage = storage
        self.directory = InstanceDirectory(storage, INSTANCE)
        self.lines: list[str] = []
        self._pipes = pipes
        where = {
            "STORAGE_DIR": str(storage.root),
            "APPLIANCE_INSTANCE": INSTANCE,
            "PORT": str(free_port()),
            "PYTHONPATH": str(CHECKOUT),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.agent.scripted", str(pipes), str(prune_every_s)],
            env={**os.environ, **where},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._callers: list[Channel] = []
        self._collecting = threading.Thread(target=self._collect, daemon=True)
        self._collecting.start()

    def began(self, name: str, times: int = 1) -> int:
        """Wait until a task began so often; returns the number of the last one's process."""
        return int(wait_until(lambda: self._seen(name)[times - 1 :], f"{name} began")[0])

    def count(self, name: str) -> int:
        """How often a task began."""
        return len(self._seen(name))

    def end(self, name: str, code: int = 0) -> None:
        """End the task that runs, and wait until the agent knows of it."""
        child = self._seen(name)[-1]
        (self._pipes / name).write_text(str(code))
        wait_until(lambda: not Path("/proc", child).exists(), "its process is buried")

    def join(self) -> "ScriptedAgent":
        """Let the first task end well."""
        self.began(agent.JOIN)
        self.end(agent.JOIN)
        wait_until(self.directory.is_handoff_complete, "it has joined")
        return self

    def call(self, message: Message) -> Channel:
        """Say something to it. The conversation is over with the test at the latest."""
        self._callers.append(channel.connect(self.directory.socket))
        self._callers[-1].send(message)
        return self._callers[-1]

    def tell(self, message: Message) -> None:
        """Say something that needs no answer, and wait until it was heard."""
        with closing(self.call(message)) as caller:
            wait_until(lambda: not caller.is_open(), "it was heard")

    def wait_for_line(self, text: str) -> None:
        """Wait until its log has this text."""
        wait_until(lambda: text in "\n".join(self.lines), f"{text!r}, not {self.lines}")

    def close(self) -> None:
        """Kill it, and see to it that nothing is left."""
        self.process.kill()
        self.process.wait()
        self._collecting.join()
        for caller in self._callers:
            caller.close()

    def _seen(self, name: str) -> list[str]:
        return re.findall(rf"^{name} began as (\d+)", "\n".join(self.lines), re.MULTILINE)

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))


Start = Callable[..., ScriptedAgent]


@pytest.fixture
def storage(storage_folder: Path) -> Storage:
    """The agent's storage."""
    made = Storage(storage_folder)
    made.prepare(system_users.detect())
    return made


@pytest.fixture
def start(storage_folder: Path, storage: Storage) -> Iterator[Start]:
    """Start agents, one after the other, of a container that owns the database."""
    alive = instances.register(storage, INSTANCE, system_users.detect().database)
    lock.note_owner(storage, INSTANCE)
    pipes = storage_folder.with_name("pipes")
    pipes.mkdir()
    for name in NAMES:
        os.mkfifo(pipes / name)
        (pipes / name).chmod(0o666)
    started: list[ScriptedAgent] = []

    def call(**arguments: float) -> ScriptedAgent:
        started.append(ScriptedAgent(storage, pipes, **arguments))
        return started[-1]

    yield call
    for one in started:
        one.close()
    os.close(alive)


@pytest.fixture
def scripted(start: Start) -> ScriptedAgent:
    """One that runs, and begins to join."""
    made = start()
    made.began(agent.JOIN)
    return made
