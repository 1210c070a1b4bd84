"""What was acknowledged while several write without a pause."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Work = Callable[[threading.Event], None]


class Acknowledged:
    """Ids by number, of what was acknowledged until now. Any thread may add."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}
        self._changed = threading.Condition()

    def add(self, number: int, identity: int) -> None:
        """One more is acknowledged."""
        with self._changed:
            self._ids[number] = identity
            self._changed.notify_all()

    def so_far(self) -> dict[int, int]:
        """All until now."""
        with self._changed:
            return dict(self._ids)

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more are acknowledged."""
        with self._changed:
            wanted = len(self._ids) + count
            assert self._changed.wait_for(lambda: len(self._ids) >= wanted, 60)

    @contextmanager
    def growing(self, works: Sequence[Work]) -> Iterator[None]:
        """A thread for each work, until the event that it gets; some is acknowledged before."""
        over = threading.Event()
        threads = [threading.Thread(target=work, args=(over,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            self.wait_for_more()
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
