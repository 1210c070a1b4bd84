"""The containers on one storage, and the platform's part: deploy, switch, drain, kill.

Clients talk to the live container, as if a proxy stood in front of it.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from load.switch import Switch
from tests.chaos.containers import HEALTH_LIMIT_S, Container, kill_together
from tests.chaos.timeline import Timeline
from tests.harness import processes
from tests.harness.waiting import wait_until

DEPLOY_LIMIT_S = 60.0
DRAIN_LIMIT_S = 30.0
OWNER_LIMIT_S = 30.0


class Fleet:
    """One storage and its containers; the `proxy` knows which of them is live."""

    def __init__(self, storage: Path, timeline: Timeline) -> None:
        self.timeline = timeline
        # During an outage requests wait.
        self.proxy = Switch[Container](limit_s=DEPLOY_LIMIT_S)
        self.running: list[Container] = []
        self.made: list[Container] = []
        self._storage = storage
        self._names = (f"c{number}" for number in itertools.count(1))

    def start(self, **variables: str) -> Container:
        """Start a container and return at once."""
        container = Container(next(self._names), self._storage, self.timeline, **variables)
        self.timeline.note(container.name, "is started")
        self.made.append(container)
        self.running.append(container)
        container.start()
        return container

    def wait_until_healthy(self, container: Container, poll_s: float) -> None:
        """Ask for its health until one answer is a success, as the platform does."""
        deadline, said = time.monotonic() + DEPLOY_LIMIT_S, -1
        while (status := container.status("/up", HEALTH_LIMIT_S)) != 200:
            if status != said:
                self.timeline.note(container.name, f"/up: {status or 'no answer'}")
            said = status
            assert container.is_running(), f"{container.name} ended by itself"
            assert time.monotonic() < deadline, f"{container.name} is not healthy: {status}"
            time.sleep(poll_s)
        self.timeline.note(container.name, "is healthy")

    def switch(self, to: Container | None) -> None:
        """New requests go there; without a container they wait."""
        self.proxy.switch(*[to] if to else [])
        self.timeline.note("proxy", f"the clients go to {to.name}" if to else "nobody serves")

    def retire(self, old: Container) -> None:
        """Let it answer what it has in hand, then kill all of it."""
        self.proxy.drain(old, DRAIN_LIMIT_S)
        self.kill(old)

    def kill(self, *doomed: Container) -> None:
        """SIGKILL everything of them."""
        self.timeline.note("platform", f"SIGKILL all of {', '.join(one.name for one in doomed)}")
        for one in doomed:
            self.running.remove(one)
        kill_together(doomed)

    def kill_supervisor(self, doomed: Container) -> None:
        """SIGKILL its supervisor only; returns when nothing of it lives."""
        self.running.remove(doomed)
        doomed.kill_supervisor()

    def deploy(
        self,
        poll_s: float,
        meanwhile: Callable[[Container], None] | None = None,
        *,
        keep: bool = False,
    ) -> Container:
        """Put a new container beside the live one, switch, and remove all others.

        `meanwhile` is called with the new one when it was just started. With `keep` the old ones
        stay.
        """
        new = self.start()
        if meanwhile:
            meanwhile(new)
        self.wait_until_healthy(new, poll_s)
        self.switch(new)
        if not keep:
            self.retire_others()
        return new

    def retire_others(self) -> None:
        """Remove every container but the live one."""
        for other in [one for one in self.running if one not in self.proxy.backends]:
            self.retire(other)

    def owner(self) -> Container:
        """The container whose Postgres runs; waits for one."""

        def find() -> list[Container]:
            return [one for one in self.running if one.postmaster()]

        return wait_until(find, "some container runs Postgres", OWNER_LIMIT_S)[0]

    def living(self) -> Container:
        """The live container."""
        assert self.proxy.backends, "no container is live"
        return self.proxy.backends[0]

    def check(self) -> None:
        """Fail if a container ended that nobody killed."""
        for container in self.running:
            assert container.is_running(), (
                f"{container.name} ended by itself with {container.process.returncode}"
            )

    def end(self) -> None:
        """Kill whatever still runs."""
        kill_together([one for one in self.running if one.is_running()])
        self.running.clear()
        if self.made:
            for process in processes.postgres_processes(self.made[0].storage.pgdata):
                processes.kill(process.pid)
