"""The stand-in for kamal-proxy behaves like it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from tests.platform import target as target_module
from tests.platform.proxy import NotHealthyError, Proxy
from tests.platform.target import Target


class Backend(ThreadingHTTPServer):
    """An application: it answers with its name, and with the headers that it got."""

    daemon_threads = True

    def __init__(self, name: str, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), BackendHandler)
        self.name, self.failures = name, failures
        self.connections = 0
        self.entered, self.leave = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        """Count the connections."""
        self.connections += 1
        return super().get_request()


class BackendHandler(BaseHTTPRequestHandler):
    """Answers /up, /slow and everything else."""

    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 200
        if self.path == "/up" and self.server.failures:
            self.server.failures -= 1
            status = 503
        if self.path == "/slow":
            self.server.entered.set()
            self.server.leave.wait(10)
        content = self.server.name.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Seen-Host", self.headers.get("Host", ""))
        self.send_header("X-Seen-For", self.headers.get("X-Forwarded-For", ""))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name it looks for

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class LocalTarget(Target):
    """A target that is no container."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(type("Container", (), {"id": "0123456789abcdef"})())
        self.port = backend.server_port

    def address(self) -> str:
        """Here."""
        return "127.0.0.1"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    started: list[Backend] = []
    yield started
    for backend in started:
        backend.shutdown()
        backend.server_close()


def test_nothing_deployed_is_a_404(proxy: Proxy) -> None:
    assert requests.get(proxy.url, timeout=5).status_code == 404


def test_one_healthy_answer_is_enough(proxy: Proxy, backends: list[Backend]) -> None:
    backends.append(Backend("one", failures=1))
    proxy.deploy(LocalTarget(backends[0]), 5)
    assert requests.get(f"{proxy.url}/", timeout=5).text == "one"


def test_a_target_that_never_gets_healthy_changes_nothing(
    proxy: Proxy, backends: list[Backend]
) -> None:
    backends += [Backend("one"), Backend("two", failures=99)]
    proxy.deploy(LocalTarget(backends[0]), 5)
    with pytest.raises(NotHealthyError):
        proxy.deploy(LocalTarget(backends[1]), 0.1)
    assert requests.get(proxy.url, timeout=5).text == "one"


def test_the_old_target_is_drained_before_deploy_returns(
    proxy: Proxy, backends: list[Backend]
) -> None:
    backends += [Backend("one"), Backend("two")]
    proxy.deploy(LocalTarget(backends[0]), 5)
    answers: list[str] = []
    slow = threading.Thread(
        target=lambda: answers.append(requests.get(f"{proxy.url}/slow", timeout=10).text)
    )
    slow.start()
    assert backends[0].entered.wait(5)
    deploy = threading.Thread(target=proxy.deploy, args=(LocalTarget(backends[1]), 5))
    deploy.start()
    deploy.join(0.3)
    assert deploy.is_alive()
    backends[0].leave.set()
    deploy.join(5)
    slow.join(5)
    assert answers == ["one"]
    assert requests.get(proxy.url, timeout=5).text == "two"


def test_connections_to_the_target_are_kept(proxy: Proxy, backends: list[Backend]) -> None:
    backends.append(Backend("one"))
    proxy.deploy(LocalTarget(backends[0]), 5)
    before = backends[0].connections
    for _ in range(5):
        requests.post(proxy.url, data=b"x", timeout=5)
    assert backends[0].connections == before + 1


def test_a_target_that_is_down_is_a_502_at_once(proxy: Proxy, backends: list[Backend]) -> None:
    backend = Backend("one")
    proxy.deploy(LocalTarget(backend), 5)
    backend.shutdown()
    backend.server_close()
    assert requests.post(proxy.url, data=b"x", timeout=5).status_code == 502


def test_a_target_that_does_not_answer_is_a_504(
    proxy: Proxy, backends: list[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backends.append(Backend("one"))
    proxy.deploy(LocalTarget(backends[0]), 5)
    monkeypatch.setattr(target_module, "RESPONSE_TIMEOUT_S", 0.2)
    assert requests.get(f"{proxy.url}/slow", timeout=5).status_code == 504


def test_host_is_kept_and_the_client_address_is_appended(
    proxy: Proxy, backends: list[Backend]
) -> None:
    backends.append(Backend("one"))
    proxy.deploy(LocalTarget(backends[0]), 5)
    headers = {"Host": "app.example", "X-Forwarded-For": "203.0.113.9"}
    seen = requests.get(proxy.url, headers=headers, timeout=5).headers
    assert seen["X-Seen-Host"] == "app.example"
    assert seen["X-Seen-For"] == "203.0.113.9, 127.0.0.1"
