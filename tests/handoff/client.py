"""One client of a living container: keeps its connections, never asks twice, hides nothing."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# The proxy's limit for the first byte of an answer.
ANSWER_LIMIT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """A status, 0 if there was no answer; then `body` says why."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON that came."""
        return json.loads(self.body)


class Client:
    """Requests over one kept connection for each URL, as a proxy sends them.

    A connection that the server closed is a failure of the next request and not opened anew in
    silence: that is the difference to `requests`.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def ask(self, url: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request and wait for what comes of it."""
        connection = self._connection(url)
        headers |= {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        sent = json.dumps(body).encode() if body is not None else None
        try:
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return Answer(0, {}, f"{type(error).__name__}: {error}".encode())

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()

    def pages(self, url: str, path: str) -> list[dict[str, Any]]:
        """Everything a list holds, page by page."""
        found: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            answer = self.ask(url, "GET", f"{path}?limit=200{after and f'&cursor={after}'}")
            assert answer.status == 200, answer
            found += answer.document["items"]
            after = answer.document["next_cursor"]
        return found

    def _connection(self, url: str) -> http.client.HTTPConnection:
        if url not in self._connections:
            host = urlsplit(url).netloc
            self._connections[url] = http.client.HTTPConnection(host, timeout=ANSWER_LIMIT_S)
        return self._connections[url]
