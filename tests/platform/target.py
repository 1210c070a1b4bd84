"""A container behind the proxy: its connections, its requests in flight, its health."""

import http.client
import select
import threading
import time

import requests
from docker.errors import NotFound
from docker.models.containers import Container

PORT = 80
RESPONSE_TIMEOUT_S = 30
CHECK_INTERVAL_S = 1.0
CHECK_TIMEOUT_S = 5
MOST_IDLE_CONNECTIONS = 100


class Target:
    """One container, as kamal-proxy sees it. Connections are kept for ever."""

    port = PORT

    def __init__(self, container: Container) -> None:
        self._container = container
        self.name = (container.id or "")[:12]
        self._idle: list[http.client.HTTPConnection] = []
        self._in_flight = 0
        self._changed = threading.Condition()

    def wait_until_healthy(self, timeout_s: float) -> bool:
        """Ask /up at once and then every second; one success is enough."""
        start = time.monotonic()
        while True:
            if self._is_up():
                return True
            waited = time.monotonic() - start
            if waited >= timeout_s:
                return False
            time.sleep(CHECK_INTERVAL_S - waited % CHECK_INTERVAL_S)

    def drain(self, timeout_s: float) -> None:
        """Wait until no request is in flight, or until the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0, timeout_s)

    def begin_request(self) -> None:
        """Count a request as in flight."""
        with self._changed:
            self._in_flight += 1

    def end_request(self) -> None:
        """It was answered."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def take_connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """An idle connection that the server has not closed (True), or a new one (False)."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection, True
            connection.close()
        return http.client.HTTPConnection(
            self.address(), self.port, timeout=RESPONSE_TIMEOUT_S
        ), False

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep the connection for the next request."""
        if connection.sock is None or len(self._idle) >= MOST_IDLE_CONNECTIONS:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def address(self) -> str:
        """The container's address now; a container that was started again may have another."""
        try:
            self._container.reload()
        except NotFound as error:
            raise ConnectionRefusedError(f"{self.name} is gone") from error
        networks = self._container.attrs["NetworkSettings"]["Networks"]
        address = next((network["IPAddress"] for network in networks.values()), "")
        if not address:
            raise ConnectionRefusedError(f"{self.name} does not run")
        return str(address)

    def _is_up(self) -> bool:
        headers = {"Host": self.name, "User-Agent": "kamal-proxy"}
        try:
            url = f"http://{self.address()}:{self.port}/up"
            return requests.get(url, headers=headers, timeout=CHECK_TIMEOUT_S).ok
        except (OSError, requests.RequestException):
            return False
