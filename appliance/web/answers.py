"""An answer before it is sent: what a unit of work returns and an Idempotency-Key keeps."""

from dataclasses import dataclass

import falcon

MEDIA_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a JSON body and a Location; `replayed` if an earlier request produced it."""

    status: int
    body: bytes
    location: str | None = None
    replayed: bool = False

    def send(self, resp: falcon.Response) -> None:
        """Put it into the response."""
        resp.status = self.status
        resp.content_type = MEDIA_TYPE
        resp.data = self.body
        if self.location is not None:
            resp.set_header("Location", self.location)
        if self.replayed:
            resp.set_header("Idempotency-Replayed", "true")
