"""HTTP as a proxy speaks it: connections are kept, and nothing is sent twice."""

import http.client
import json
import select
import time
from dataclasses import dataclass
from typing import Any

# The platform's proxy answers 504 then.
ANSWER_LIMIT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """Status, headers by their names in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON that came."""
        return json.loads(self.body)


class KeptConnection:
    """To one `host:port`. Whatever goes wrong is an OSError or an http.client.HTTPException.

    A connection that the server closed is a failure of the next request, and not opened anew in
    silence: that is the difference to `requests`. `used_at` is when something was sent or
    received last, by the monotonic clock.
    """

    def __init__(self, where: str) -> None:
        self.used_at = time.monotonic()
        self._http = http.client.HTTPConnection(where, timeout=ANSWER_LIMIT_S)

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
        """Send a request, once, and return the answer, whatever its status."""
        content = None if body is None else json.dumps(body).encode()
        try:
            self._http.request(method, path, content, headers)
            response = self._http.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
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
