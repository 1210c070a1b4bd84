"""Who waits for Postgres: the thread that asks, or, in the API's event loop, a greenlet.

A greenlet that has to wait for an answer is suspended, and the loop goes on with another. Whatever
else it would have to wait for is left to a thread: see
docs/decisions/0023-lookups-in-the-event-loop.md.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

T = TypeVar("T")
# Waits until a descriptor can be read or written as wanted; meanwhile others run.
Suspend = Callable[[int, Wait], Ready]

_suspend: ContextVar[Suspend | None] = ContextVar("suspend", default=None)
_carried: ContextVar[object] = ContextVar("carried", default=None)


class WouldBlock(BaseException):
    """A thread has to do this from the beginning; nothing was changed.

    No Exception, so that nobody on the way takes it for a failure. `carry` is what the thread is
    to go on with, as `take_carried` gives it there.
    """

    def __init__(self, carry: object = None) -> None:
        super().__init__()
        self.carry = carry


def enter(suspend: Suspend) -> None:
    """From now on the greenlet that calls this is suspended by way of `suspend`.

    A greenlet has a context of its own, which ends with it.
    """
    _suspend.set(suspend)


def in_loop() -> bool:
    """Whether the caller runs in the loop, and must not wait by itself."""
    return _suspend.get() is not None


def suspender() -> Suspend | None:
    """How the caller waits in the loop; None in a thread, which waits by itself."""
    return _suspend.get()


def complete(communication: PQGen[T], descriptor: int, suspend: Suspend) -> T:
    """Run psycopg's side of a conversation to its end, in the loop; returns what it returns."""
    try:
        wanted = next(communication)
        while True:
            wanted = communication.send(suspend(descriptor, wanted))
    except StopIteration as done:
        result: T = done.value
        return result


def carry_over(carry: object) -> None:
    """Note, in a thread, what it is to go on with; None if it begins anew."""
    _carried.set(carry)


def take_carried() -> object:
    """What this thread is to go on with, once; None if it begins anew."""
    carried = _carried.get()
    if carried is not None:
        _carried.set(None)
    return carried
