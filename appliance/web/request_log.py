"""A request id for every request, and one compact line in the log."""

import random
import re
from time import perf_counter
from typing import Any
from urllib.parse import quote

import falcon

from appliance.system.log import write_line
from appliance.web.client_ip import client_ip
from appliance.web.problems import PROGRAM

HEADER = "X-Request-Id"

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATH_LIMIT = 200


class RequestLog:
    """Falcon middleware. Never logs a query string, a header, a body or a token."""

    def __init__(self, trust_proxy_hops: int | None) -> None:
        self._hops = trust_proxy_hops

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Note the start, and keep or give the request id."""
        req.context.started = perf_counter()
        req.context.request_id = request_id(req.env.get("HTTP_X_REQUEST_ID"))
        resp.set_header(HEADER, req.context.request_id)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Write the line: method, path, status, duration, request id, client."""
        env = req.env
        ip = client_ip(env.get("REMOTE_ADDR", "-"), env.get("HTTP_X_FORWARDED_FOR"), self._hops)
        log_request(
            req.method,
            req.path,
            resp.status_code,
            perf_counter() - req.context.started,
            req.context.request_id,
            ip,
        )


def request_id(inbound: str | None) -> str:
    """Keep an inbound id that is harmless, or make one: 16 hexadecimal digits."""
    if inbound and _ACCEPTED.fullmatch(inbound):
        return inbound
    # Not a secret, so no system call: each one lets go of the interpreter's lock.
    return f"{random.getrandbits(64):016x}"


def log_request(
    method: str, path: str, status: int, duration_s: float, request_id: str, ip: str
) -> None:
    """Write one line. The path is percent-encoded and cut; the query is not part of it."""
    shown = quote(path[:_PATH_LIMIT], safe="/:@!$&'()*+,;=-._~", errors="replace")
    write_line(
        PROGRAM,
        "request",
        method=method,
        path=shown,
        status=status,
        duration_ms=round(duration_s * 1000, 1),
        request_id=request_id,
        client=ip,
    )
