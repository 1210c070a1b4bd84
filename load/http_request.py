"""What is sent."""

from dataclasses import dataclass

# What makes each write its own; see Idempotency-Key in docs/api.md.
NUMBER = "@NUMBER@"


@dataclass(frozen=True)
class HttpRequest:
    """One request, and the status of its answer."""

    name: str
    method: str
    path: str
    status: int = 200
    body: str = ""

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"

    def message(self, key: str, number: str = NUMBER, **headers: str) -> bytes:
        """Its bytes. `key` is an API key, `number` becomes the Idempotency-Key."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [
            f"{name}: {value}" for name, value in self.headers(key, number, **headers).items()
        ]
        if self.writes:
            lines.append(f"Content-Length: {len(self.body.encode())}")
        return "\r\n".join([*lines, "", self.body]).encode()

    def headers(self, key: str, number: str = NUMBER, **headers: str) -> dict[str, str]:
        """Its headers, without those of the transport."""
        own = {"Authorization": f"Bearer {key}", **headers}
        if self.body:
            own |= {"Content-Type": "application/json", "Idempotency-Key": number}
        return own


def get(path: str) -> HttpRequest:
    """A read.

    >>> get("/up").message("k")
    b'GET /up HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: Bearer k\\r\\n\\r\\n'
    """
    return HttpRequest(path, "GET", path)
