"""HTTP as a proxy speaks it: connections are kept, and nothing is sent twice."""

import http.client
import json
import select
import time
from dataclasses import dataclass
from typing import Any

# The platform's proxy answers 504 then.
TIMEOUT_S = 30.0
HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The document in the body."""
        return json.loads(self.body)


class KeptConnection:
    """To one port. Whatever goes wrong is an OSError or an http.client.HTTPException.

    `used_at` is when something was sent or received last, by the monotonic clock.
    """

    def __init__(self, port: int) -> None:
        self.used_at = time.monotonic()
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
        """Send a request, once, and return the answer, whatever its status."""
        content = None if body is None else json.dumps(body)
        try:
            self._http.request(method, path, content, headers)
            response = self._http.getresponse()
            return Answer(response.status, response.read())
        except BaseException:
            self.close()
            raise
        finally:
            self.used_at = time.monotonic()

    def is_stale(self) -> bool:
        """Whether the server ended it while it was idle."""
        # Nothing is under way, so what can be read is the end.
        return self._http.sock is not None and bool(select.select([self._http.sock], [], [], 0)[0])

    def close(self) -> None:
        """The next request opens a new one."""
        self._http.close()


def status_of(port: int, path: str) -> int:
    """The status of a GET on a connection of its own, 0 if there is no answer in 5 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
