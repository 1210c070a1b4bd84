"""The connections of one process: kept, cut when a server is frozen, opened when it is back."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from appliance.postgres.connect import Connection
from appliance.postgres.door import Door
from appliance.postgres.waits import DatabaseUnavailable, Deadlines, Patience


class Connections:
    """Idle connections, and how to get another; safe to share between threads.

    `socket` is where `connect` goes to.
    """

    def __init__(self, connect: Callable[[], Connection], socket: Path) -> None:
        self._connect = connect
        self._socket = socket
        self._idle: deque[Connection] = deque()
        self._knocking = threading.Lock()
        self._opened_at = 0.0
        self._deadlines = Deadlines()

    def check_out(self, patience: Patience, outcome: str) -> Connection:
        """Get a connection, waiting for the database as long as patience lasts.

        Raises DatabaseUnavailable with `outcome` after that.
        """
        connection = self._pop_open() or self._open(patience, outcome)
        self._deadlines.start(connection, patience.due)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next one, or close it if it is in no state for that."""
        # First, or its descriptor could be another's when it is cut.
        self._deadlines.stop(connection)
        if connection.closed:
            return
        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _pop_open(self) -> Connection | None:
        while (connection := self._pop()) is not None:
            if not connection.closed:
                return connection
        return None

    def _pop(self) -> Connection | None:
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _open(self, patience: Patience, outcome: str) -> Connection:
        arrived = time.monotonic()
        while True:
            # One thread knocks, the others wait for it, and then go in all at once.
            if not self._knocking.locked():
                try:
                    return self._connect()
                except psycopg.OperationalError as error:
                    arrived = time.monotonic()
                    patience.hold()
                    patience.check(outcome, error)
            if (connection := self._reconnect(arrived, patience, outcome)) is not None:
                return connection

    def _reconnect(self, arrived: float, patience: Patience, outcome: str) -> Connection | None:
        patience.hold()
        if not self._knocking.acquire(timeout=patience.remaining()):
            raise DatabaseUnavailable(outcome)
        try:
            if self._opened_at > arrived:
                return None
            connection = self._knock(patience, outcome)
            self._opened_at = time.monotonic()
        finally:
            self._knocking.release()
        return connection

    def _knock(self, patience: Patience, outcome: str) -> Connection:
        door = Door(self._socket)
        while True:
            try:
                return self._connect()
            except psycopg.OperationalError as error:
                patience.check(outcome, error)
                door.wait(error)
