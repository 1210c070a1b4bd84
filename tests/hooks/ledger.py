"""Books that are written without a pause, and what was acknowledged of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from load.closed_loop import ClosedLoop, Turn
from load.writes import Acknowledged
from tests.harness.appliance import Appliance

_RECORD = """
    WITH t AS (
        INSERT INTO transactions (date, description, posting_count)
        VALUES ('2026-11-20', 'Sale', 2) RETURNING id
    ), p AS (
        INSERT INTO postings (transaction_id, position, account_id, amount)
        SELECT id, 1, %(cash)s, 1.25 FROM t UNION ALL SELECT id, 2, %(sales)s, -1.25 FROM t
    )
    SELECT id FROM t
"""
_ACCOUNT = "INSERT INTO accounts (name, kind, currency) VALUES (%s, %s, 'EUR') RETURNING id"
# Rewrites pages all over a table, which checkpoints then write to the disk.
_WEAR = """
    UPDATE wear SET n = n + 1, filler = md5(random()::text)
    WHERE id IN (SELECT (random() * 20000)::int FROM generate_series(1, 50))
"""
_MAKE_WEAR = """
    CREATE TABLE wear (id int PRIMARY KEY, n int DEFAULT 0, filler text);
    INSERT INTO wear (id, filler) SELECT g, md5(g::text) FROM generate_series(0, 20000) g;
"""


class Ledger:
    """Writes into one appliance's books by SQL, and remembers what was acknowledged."""

    def __init__(self, running: Appliance) -> None:
        self._running = running
        self._acknowledged = Acknowledged[int]()
        with running.connect() as connection:
            connection.execute(_MAKE_WEAR)
            named = (("cash", "asset"), ("sales", "income"))
            self._accounts = {
                name: connection.execute(_ACCOUNT, (name, kind)).fetchone()[0]
                for name, kind in named
            }

    def record(self, count: int = 10) -> set[int]:
        """Record so many more; returns all that was acknowledged until now."""
        with self._running.connect() as connection:
            for _ in range(count):
                self._record_one(connection)
        return self.acknowledged()

    def acknowledged(self) -> set[int]:
        """All that was acknowledged until now."""
        return set(self._acknowledged.so_far())

    @contextmanager
    def being_written(self, *, checkpoints: bool = False) -> Iterator[None]:
        """Write without a pause while the block lasts, and checkpoint if that is wanted."""
        works = [self._record_one, self._record_one, _wear, *([_checkpoint] if checkpoints else [])]
        with ExitStack() as stack:
            turns = [
                _turn(work, stack.enter_context(self._running.connect("postgres")))
                for work in works
            ]
            stack.enter_context(ClosedLoop(turns))
            self.wait_for_more()
            yield

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more are acknowledged."""
        self._acknowledged.wait_for_more(count)

    def _record_one(self, connection: Any) -> None:
        (identity,) = connection.execute(_RECORD, self._accounts).fetchone()
        self._acknowledged.add(identity, identity)


def _turn(work: Callable[[Any], None], connection: Any) -> Turn:
    return lambda _number: work(connection)


def _wear(connection: Any) -> None:
    connection.execute(_WEAR)


def _checkpoint(connection: Any) -> None:
    connection.execute("CHECKPOINT")
