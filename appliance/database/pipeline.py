"""Several queries in one round trip, and a connection that knows how.

psycopg has a pipeline mode of its own, on cursors, which cost three times what libpq does
(docs/decisions/0020-one-round-trip.md). So these queries go to libpq directly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import count, islice
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import adapt, errors, generators
from psycopg.abc import Buffer, PQGen, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from appliance.database import event_loop

T = TypeVar("T")
Row = tuple[Any, ...]
Rows = list[Row]

_THIS_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_FIND_SESSION = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"

# A connection keeps as many statements parsed; those beyond are parsed each time.
_MOST_KEPT = 200
# libpq sends what it has at the Sync. So much a socket takes that has nothing else to send; to look
# whether something is left would let go of the interpreter once more.
_SENT_WITH_SYNC = 16 * 1024
_DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


def no_answer(_rows: Rows) -> None:
    """Read the rows of a query that is sent for what it does."""


def first_row(rows: Rows) -> Row | None:
    """Read the rows of a query that finds one or none."""
    return rows[0] if rows else None


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """A statement, its values, and what its rows mean.

    The values stand for `$1`, `$2` and so on, as if they were written there between quotes: where
    the server cannot see of which type one is, the statement says so (`$1::bigint[]`). `read` makes
    the answer of the rows, or raises.
    """

    statement: str
    values: Sequence[Any]
    read: Callable[[Rows], T]


@dataclass(frozen=True, slots=True)
class Session:
    """The server process that works for a connection: its number, and when it was started.

    The number alone would not do: another container's server may give it again.
    """

    number: int
    started_at: datetime

    def is_over(self, asked: "Connection") -> bool:
        """Whether it is gone, and with it its transaction; asks on another connection."""
        (found,) = asked.run(Query(_FIND_SESSION, (self.number, self.started_at), bool))
        return not found


class OutdatedStatementError(Exception):
    """A statement that was kept is of no use any more; in another transaction it is made anew."""


class Connection(psycopg.Connection[Row]):
    """A connection that can also run several queries at once, and tell who works for it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept: dict[str, bytes] = {}
        self._numbers = count()

    def run(self, *queries: Query[Any]) -> list[Any]:
        """Send the queries together, wait once, and return their answers in order.

        The server skips what comes after a query that fails: a COMMIT at the end is reached only
        if all before it went well. The first error is raised, the server's or that of a `read`.
        """
        values = [self._as_text(query.values) for query in queries]
        new = self._names_for(query.statement for query in queries)
        self.pgconn.enter_pipeline_mode()
        for statement, name in new.items():
            self.pgconn.send_prepare(name, statement.encode())
        for query, given in zip(queries, values, strict=True):
            self._send(query.statement, given, new)
        self.pgconn.pipeline_sync()
        sent = self._is_sent_with_sync(queries, values)
        results = self._complete(_receive(self.pgconn, len(new) + len(queries) + 1, sent=sent))
        self.pgconn.exit_pipeline_mode()
        self._keep(new, results)
        return [
            query.read(self._rows(result, query.statement, was_kept=query.statement not in new))
            for query, result in zip(queries, results[len(new) : -1], strict=True)
        ]

    @cached_property
    def session(self) -> Session:
        """The server process at the other end; asked once, outside a transaction."""
        (row,) = self.run(Query(_THIS_SESSION, (), first_row))
        return Session(*row)

    def _complete(self, communication: PQGen[T]) -> T:
        suspend = event_loop.suspender()
        if suspend is None:
            return self.wait(communication)
        return event_loop.complete(communication, self.pgconn.socket, suspend)

    def _as_text(self, values: Sequence[Any]) -> Sequence[Buffer | None]:
        return self._converter.dump_sequence(values, [adapt.PyFormat.TEXT] * len(values))

    @cached_property
    def _converter(self) -> Transformer:
        return adapt.Transformer(self)

    def _names_for(self, statements: Iterable[str]) -> dict[str, bytes]:
        """Names for those that are not kept yet, but will be."""
        new = [one for one in statements if one not in self._kept]
        if not new:
            return {}
        room = _MOST_KEPT - len(self._kept)
        # The first word is for people, who may look into pg_prepared_statements.
        return {
            one: f"{one.split(maxsplit=1)[0]} {next(self._numbers)}".encode()
            for one in islice(dict.fromkeys(new), room)
        }

    def _send(
        self, statement: str, values: Sequence[Buffer | None], new: Mapping[str, bytes]
    ) -> None:
        name = self._kept.get(statement) or new.get(statement)
        if name is None:
            self.pgconn.send_query_params(statement.encode(), values)
        else:
            self.pgconn.send_query_prepared(name, values)

    def _is_sent_with_sync(
        self, queries: Sequence[Query[Any]], values: Iterable[Sequence[Buffer | None]]
    ) -> bool:
        """Whether it was so little that nothing can be left to send: names and small values."""
        if any(query.statement not in self._kept for query in queries):
            return False
        return sum(len(one) for given in values for one in given if one) < _SENT_WITH_SYNC

    def _keep(self, new: Mapping[str, bytes], results: Sequence[PGresult]) -> None:
        for (statement, name), result in zip(new.items(), results, strict=False):
            _check(result)
            self._kept[statement] = name

    def _rows(self, result: PGresult, statement: str, *, was_kept: bool) -> Rows:
        try:
            _check(result)
        except errors.InvalidSqlStatementName as error:
            # Somebody has thrown them all away: DISCARD ALL, or psycopg after a ROLLBACK.
            self._kept.clear()
            raise OutdatedStatementError from error
        except errors.FeatureNotSupported as error:
            # A migration has changed what it returns; or it is true, which the next time shows.
            if was_kept and self._kept.pop(statement, b""):
                raise OutdatedStatementError from error
            raise
        self._converter.set_pgresult(result)
        return self._converter.load_rows(0, result.ntuples, tuple)


def _receive(server: PGconn, expected: int, *, sent: bool) -> PQGen[list[PGresult]]:
    """Receive as many results; raises psycopg.OperationalError if the connection is lost."""
    if not sent:
        yield from generators.send(server)
    results: list[PGresult] = []
    while len(results) < expected:
        answered = yield from generators.fetch_many(server)
        if not answered:
            raise psycopg.OperationalError("the connection was lost between two answers")
        results += answered
    return results


def _check(result: PGresult) -> None:
    if result.status not in _DONE:
        raise errors.error_from_result(result)
