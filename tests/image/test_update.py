"""Two containers on one volume: never two postmasters, and the survivor owns the data."""

import threading
import time

from docker.errors import APIError
from docker.models.containers import Container

from tests.harness.waiting import wait_until
from tests.image.conftest import Deploy
from tests.image.contained import Contained, Process, postmasters
from tests.scenarios.bookkeeper import Bookkeeper


class PostmasterCount:
    """Counts the postmasters of an application, over all its containers, again and again."""

    def __init__(self, appliance: Contained) -> None:
        self.most = 0
        self._appliance = appliance
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count_on)

    def __enter__(self) -> "PostmasterCount":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _count_on(self) -> None:
        before: set[int] = set()
        while not self._ended.is_set():
            # Containers are asked one after the other. What two rounds in a row have seen was
            # alive between them, all of it at the same time.
            now = self._postmasters()
            self.most = max(self.most, len(before & now))
            before = now
            time.sleep(0.02)

    def _postmasters(self) -> set[int]:
        containers = self._appliance.platform.containers.of(self._appliance.app.name)
        return {process.pid for entry in containers for process in running_postmasters(entry)}


def running_postmasters(container: Container) -> list[Process]:
    """The postmasters in one container; none if it does not run (any more)."""
    try:
        return postmasters(container)
    except APIError:
        return []


def test_an_update_moves_the_data_and_never_runs_two_postmasters(deploy: Deploy) -> None:
    appliance = deploy()
    bookkeeper = Bookkeeper(appliance)
    bookkeeper.record(20, clients=2)
    old = appliance.container
    with PostmasterCount(appliance) as count:
        new = appliance.platform.update(appliance.app)
        wait_until(lambda: len(running_postmasters(new)) == 1, "the new container owns", 60)
        appliance.wait_until_up()
        assert len(bookkeeper.recorded()) == 20
    assert count.most == 1
    assert [entry.id for entry in appliance.platform.containers.of(appliance.app.name)] == [new.id]
    assert new.id != old.id
