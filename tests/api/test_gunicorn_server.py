"""gunicorn as we set it: kept connections, bounded requests, a quick stop."""

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.api.conftest import Cluster, Server, rows
from tests.harness.waiting import wait_until

BODY = json.dumps({"name": "Cash", "kind": "asset", "currency": "EUR"})


@contextmanager
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    """A client's connection, which is closed at the end."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
        yield client


def status(client: http.client.HTTPConnection) -> int:
    """The status of the next answer. One that ends the connection would keep it open."""
    with client.getresponse() as answer:
        return answer.status


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def raw(server: Server, request: bytes) -> tuple[bytes, dict[str, object]]:
    """Send bytes and return the status line and the problem."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"X-Request-Id: " in head
    return head.split(b"\r\n")[0], json.loads(body)


def test_a_connection_is_kept_for_many_requests(server: Server, key: str) -> None:
    with connection(server) as client:
        client.request("GET", "/up")
        client.getresponse().read()
        first = client.sock
        for _ in range(3):
            client.request("POST", "/api/accounts", "{", headers(key))
            answer = client.getresponse()
            assert answer.status == 400
            answer.read()
        assert client.sock is first


def test_a_stop_ends_everything_in_time_with_idle_connections_open(server: Server) -> None:
    with ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(connection(server))
            client.request("GET", "/health")
            client.getresponse().read()
        clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0
        assert time.monotonic() - started < 4


def test_a_request_in_flight_is_answered_during_a_stop(
    server: Server, empty: Cluster, key: str
) -> None:
    answers: list[int] = []

    def post() -> None:
        with connection(server) as client:
            client.request("POST", "/api/accounts", BODY, headers(key))
            answers.append(status(client))

    with empty.connect("appliance") as owner, empty.connect("postgres") as observer:
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE accounts")
        request = threading.Thread(target=post)
        request.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: rows(observer, waiting), "the request waits in the database")
        server.process.send_signal(signal.SIGTERM)
        owner.execute("COMMIT")
        request.join(timeout=10)
    assert answers == [201]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", 400),
        (b"GET /health\r\n HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_answered_with_a_problem(
    server: Server, request_bytes: bytes, status: int
) -> None:
    line, problem = raw(server, request_bytes)
    assert line.split()[1] == str(status).encode()
    assert problem["status"] == status
    logged = f"status={status} duration_ms=0.0 request_id={problem['request_id']} client=127.0.0.1"
    assert logged in server.log.read_text()


def test_a_chunked_body_is_bounded_too(server: Server, key: str) -> None:
    pieces = (b"x" * 65536 for _ in range(20))
    with connection(server) as client:
        client.request("POST", "/api/accounts", pieces, headers(key), encode_chunked=True)
        with client.getresponse() as answer:
            assert answer.status == 413
            assert answer.getheader("Content-Type") == "application/problem+json"


def test_a_chunked_body_is_read(server: Server, key: str) -> None:
    with connection(server) as client:
        client.request("POST", "/api/accounts", iter([BODY.encode()]), headers(key))
        assert status(client) == 201


def test_a_forwarded_header_changes_neither_peer_nor_path(server: Server) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "SCRIPT_NAME": "/up", "PATH_INFO": "/up"}
    with connection(server) as client:
        client.request("GET", "/health", headers=forged)
        with client.getresponse() as answer:
            assert answer.status == 200
            request_id = answer.getheader("X-Request-Id")
    wait_until(
        lambda: f"request_id={request_id} client=203.0.113.9" in server.log.read_text(),
        "the log has the line",
    )


def test_a_worker_that_was_killed_comes_back(server: Server) -> None:
    before = workers(server)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    after = wait_until(lambda: workers(server) - before, "there are new workers")
    assert after.isdisjoint(before)
    with connection(server) as client:
        client.request("GET", "/health")
        assert status(client) == 200
    logged = [line for line in server.log.read_text().splitlines() if "SIGKILL" in line]
    assert logged
    assert all(" api " in line for line in logged)


def workers(server: Server) -> set[int]:
    """The process ids of the workers, once there are two."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return wait_until(
        lambda: (
            found if len(found := {int(p) for p in children.read_text().split()}) > 1 else set()
        ),
        "there are two workers",
    )


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}\r\n0\r\n\r\n", b"ffff\r\n{}"],
    ids=["no number", "negative", "cut off"],
)
def test_a_malformed_chunked_body_is_refused_and_not_our_fault(
    server: Server, key: str, body: bytes
) -> None:
    head = head_of_account(key, "Transfer-Encoding: chunked")
    assert half_closed(server, head + body).startswith(b"HTTP/1.1 400")


def test_a_body_shorter_than_announced_is_refused_and_not_carried_out(
    server: Server, key: str, empty: Cluster
) -> None:
    head = head_of_account(key, "Content-Length: 500")
    assert half_closed(server, head + BODY.encode()).startswith(b"HTTP/1.1 400")
    with empty.connect() as reader:
        assert rows(reader, "SELECT 1 FROM accounts") == []


def head_of_account(key: str, framing: str) -> bytes:
    """The head of a request that makes an account, with the header that says how long it is."""
    head = (
        f"POST /api/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\n{framing}\r\n\r\n"
    )
    return head.encode()


def half_closed(server: Server, request: bytes) -> bytes:
    """Send bytes, say that no more will come, and return the start of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return client.recv(64)
