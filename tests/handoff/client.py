"""One client of a living container: keeps its connections, never asks twice, hides nothing."""

import http.client
from typing import Any
from urllib.parse import urlsplit

from tests.harness.kept_connection import Answer, KeptConnection


class Client:
    """Requests over one kept connection for each URL, as a proxy sends them."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._kept: dict[str, KeptConnection] = {}

    def ask(self, url: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; if no answer comes, the status is 0, and the body says why."""
        headers |= {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            return self._to(url).ask(method, path, headers, body)
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, f"{type(error).__name__}: {error}".encode())

    def close(self) -> None:
        """Close all connections."""
        for kept in self._kept.values():
            kept.close()

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

    def _to(self, url: str) -> KeptConnection:
        if url not in self._kept:
            self._kept[url] = KeptConnection(urlsplit(url).netloc)
        return self._kept[url]
