"""The connections of one process: kept, cut when a server is frozen, opened when it is back."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from appliance.database.connect import Connection
from appliance.database.holds import ConnectionWatchdog, DatabaseUnavailable, Deadline
from appliance.database.reconnect import ReconnectPause


class ConnectionPool:
    """Idle connections, and how to get another; safe to share between threads.

    `socket` is where `connect` goes to.
    """

    def __init__(self, connect: Callable[[], Connection], socket: Path) -> None:
        self._connect = connect
        self._socket = socket
        self._idle: deque[Connection] = deque()
        self._reconnecting = threading.Lock()
        self._opened_at = 0.0
        self._watchdog = ConnectionWatchdog()

    def check_out(self, deadline: Deadline, outcome: str) -> Connection:
        """Get a connection, waiting for the database until the deadline.

        Raises DatabaseUnavailable with `outcome` after that.
        """
        connection = self.check_out_idle(deadline)
        if connection is None:
            connection = self._open(deadline, outcome)
            self._watchdog.start(connection, deadline.due)
        return connection

    def check_out_idle(self, deadline: Deadline) -> Connection | None:
        """Get one that is open already, None if there is none."""
        connection = self._pop_open()
        if connection is not None:
            self._watchdog.start(connection, deadline.due)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next one, or close it if it is in no state for that."""
        # First, or its descriptor could be another's when it is cut.
        self._watchdog.stop(connection)
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

    def _open(self, deadline: Deadline, outcome: str) -> Connection:
        arrived = time.monotonic()
        while True:
            # One thread tries, the others wait for it, and then connect all at once.
            if not self._reconnecting.locked():
                try:
                    return self._connect()
                except psycopg.OperationalError as error:
                    arrived = time.monotonic()
                    deadline.hold()
                    deadline.check(outcome, error)
            if (connection := self._reconnect(arrived, deadline, outcome)) is not None:
                return connection

    def _reconnect(self, arrived: float, deadline: Deadline, outcome: str) -> Connection | None:
        deadline.hold()
        if not self._reconnecting.acquire(timeout=deadline.remaining()):
            raise DatabaseUnavailable(outcome)
        try:
            if self._opened_at > arrived:
                return None
            connection = self._connect_again(deadline, outcome)
            self._opened_at = time.monotonic()
        finally:
            self._reconnecting.release()
        return connection

    def _connect_again(self, deadline: Deadline, outcome: str) -> Connection:
        pause = ReconnectPause(self._socket)
        while True:
            try:
                return self._connect()
            except psycopg.OperationalError as error:
                deadline.check(outcome, error)
                pause.wait(error)
