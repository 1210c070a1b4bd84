"""An event loop of the tests' own: greenlets, and one poll for all of them."""

import select
from collections.abc import Callable
from typing import Any

import greenlet
from psycopg.waiting import Ready, Wait

from appliance.database import event_loop
from appliance.database.event_loop import WouldBlock
from tests.harness.waiting import wait_until

_EVENTS = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}


class Lookup:
    """What a greenlet does, and what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._answer: Any = None
        self._error: BaseException | None = None
        self.over = False

    def run(self) -> None:
        """Do it. Runs in the greenlet."""
        try:
            self._answer = self._work()
        except BaseException as error:
            self._error = error
        self.over = True

    def result(self) -> Any:
        """What it has returned; raises what it has raised."""
        assert self.over
        if self._error is not None:
            raise self._error
        return self._answer


class Loop:
    """Runs lookups in the thread that makes it. Those that wait are `suspended`."""

    def __init__(self) -> None:
        self._home = greenlet.getcurrent()
        self._poll = select.poll()
        self.suspended: dict[int, greenlet.greenlet] = {}

    def begin(self, work: Callable[[], Any]) -> Lookup:
        """Begin something, and return when it waits or is over."""
        lookup = Lookup(work)

        def run() -> None:
            event_loop.enter(self._suspend)
            lookup.run()

        greenlet.greenlet(run, self._home).switch()
        return lookup

    def finish(self, lookup: Lookup) -> Any:
        """Go on until it is over; returns or raises what came of it."""
        wait_until(lambda: self._is_over(lookup), "the lookup is over")
        return lookup.result()

    def run(self, work: Callable[[], Any]) -> Any:
        """Begin something and finish it."""
        return self.finish(self.begin(work))

    def left_to_thread(self, lookup: Lookup) -> object:
        """Go on until it would have to wait by itself; returns what a thread is to go on with."""
        try:
            answer = self.finish(lookup)
        except WouldBlock as blocked:
            return blocked.carry
        raise AssertionError(f"it did not have to wait: {answer}")

    def _suspend(self, descriptor: int, wanted: Wait) -> Ready:
        self.suspended[descriptor] = greenlet.getcurrent()
        self._poll.register(descriptor, _EVENTS[wanted])
        self._home.switch()
        return Ready.RW

    def _is_over(self, lookup: Lookup) -> bool:
        for descriptor, _ in self._poll.poll(0):
            self._poll.unregister(descriptor)
            self.suspended.pop(descriptor).switch()
        return lookup.over
