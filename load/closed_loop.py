"""A closed loop: each client has its next turn when the last is over."""

import itertools
import threading
from collections.abc import Callable, Sequence

# What a client does; it gets a number that no other turn has. It returns its think time: how many
# seconds it waits before its next turn.
Turn = Callable[[int], float | None]


class ClosedLoop:
    """Clients at work, each in a thread of its own, while the `with` block lasts.

    With `count` they have so many turns together, and `run` waits for the last. An error ends the
    client that has it: `on_error` gets it, with the number of the client. Without that, the first
    one is raised when all have ended.
    """

    def __init__(
        self,
        turns: Sequence[Turn],
        count: int | None = None,
        on_error: Callable[[int, BaseException], None] | None = None,
    ) -> None:
        self._numbers = itertools.count() if count is None else iter(range(count))
        self._on_error = on_error or self._keep_error
        self._errors: list[BaseException] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(client, turn), daemon=True)
            for client, turn in enumerate(turns)
        ]

    def __enter__(self) -> "ClosedLoop":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._join()
        if kind is None and self._errors:
            raise self._errors[0]

    def run(self) -> None:
        """Have all turns."""
        with self:
            self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self, client: int, turn: Turn) -> None:
        try:
            while not self._over.is_set() and (number := next(self._numbers, None)) is not None:
                if think_time_s := turn(number):
                    self._over.wait(think_time_s)
        except BaseException as error:
            self._on_error(client, error)

    def _keep_error(self, _client: int, error: BaseException) -> None:
        self._errors.append(error)
