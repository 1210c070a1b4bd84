"""Lookups over real sockets: the worker's event loop answers them, and nobody waits for others."""

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.api.conftest import Cluster, Server, rows, serving
from tests.harness import processes
from tests.harness.freezing import standing_still
from tests.harness.waiting import wait_until

LOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
ACCOUNTS = "/api/accounts"
CONNECTIONS = 8
PAGE = "a-big-page"
# What may wait on its way to a client that reads nothing, in bytes.
MOST_IN_KERNEL = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])


@pytest.fixture
def lone(empty: Cluster, tmp_path: Path) -> Iterator[Server]:
    """A server with one worker that has one thread."""
    with serving(empty, tmp_path / "log", workers=1, threads=1) as running:
        yield running


@dataclass
class Answer:
    """What came back; `head` is its lines as they are."""

    status: int
    head: list[bytes]
    body: bytes

    @property
    def is_the_last(self) -> bool:
        """Whether it says that the connection is closed behind it."""
        return b"connection: close" in (line.lower() for line in self.head)


class Talk:
    """A client's connection, on which requests and answers are bytes."""

    def __init__(self, server: Server, key: str, **options: int) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(30)
        for name, value in options.items():
            self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        self.socket.connect(("127.0.0.1", server.port))
        self._answers: BinaryIO = self.socket.makefile("rb")
        self._key = key

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self.socket.close()

    def request(self, path: str, method: str = "GET", body: bytes = b"", *more: str) -> bytes:
        """The bytes of a request."""
        framing = [f"Content-Length: {len(body)}"] if body else []
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: here",
            f"Authorization: Bearer {self._key}",
            "Content-Type: application/json",
            *framing,
            *more,
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def send(self, *requests: bytes) -> None:
        """Send requests in one piece."""
        self.socket.sendall(b"".join(requests))

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer."""
        head = list(iter(lambda: self._answers.readline().rstrip(b"\r\n"), b""))
        assert head, "the connection was closed"
        length = next(int(h.split()[1]) for h in head if h.lower().startswith(b"content-length"))
        body = self._answers.read(length if has_body else 0)
        assert len(body) == length or not has_body, "the answer was cut off"
        return Answer(int(head[0].split()[1]), head, body)

    def ask(self, path: str = ACCOUNTS) -> Answer:
        """The answer to a GET."""
        self.send(self.request(path))
        return self.answer()

    def is_closed(self) -> bool:
        """Whether the server has closed it, with nothing more to be read."""
        return self._answers.read(1) == b""


@contextmanager
def locked(cluster: Cluster) -> Iterator[Callable[[int], None]]:
    """Have lookups of accounts wait until the end; gives what waits until so many do."""
    with cluster.connect("appliance") as owner, cluster.connect("postgres") as observer:
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE accounts")

        def wait_for(number: int) -> None:
            wait_until(lambda: len(rows(observer, LOCKED)) >= number, f"{number} wait in Postgres")

        yield wait_for
        owner.execute("COMMIT")


@contextmanager
def waiting_lookup(talk: Talk, cluster: Cluster) -> Iterator[None]:
    """A lookup on this connection that waits in Postgres until the end."""
    assert talk.ask().status == 200
    with locked(cluster) as wait_for:
        talk.send(talk.request(ACCOUNTS))
        wait_for(1)
        yield


def test_a_lookup_that_waits_for_postgres_takes_no_thread(
    lone: Server, empty: Cluster, key: str
) -> None:
    with Talk(lone, key) as waiting, Talk(lone, key) as other:
        with waiting_lookup(waiting, empty):
            assert other.ask("/health").status == 200
        assert waiting.answer().body == b'{"items":[],"next_cursor":null}'


@pytest.mark.parametrize("threads", [1, 2 * CONNECTIONS])
def test_more_lookups_than_connections_are_all_answered(
    empty: Cluster, key: str, tmp_path: Path, threads: int
) -> None:
    with ExitStack() as clients:
        server = clients.enter_context(serving(empty, tmp_path / "log", 1, threads))
        talks = [clients.enter_context(Talk(server, key)) for _ in range(3 * CONNECTIONS)]
        assert talks[0].ask().status == 200
        for _ in range(2):
            with locked(empty) as wait_for:
                for talk in talks:
                    talk.send(talk.request(ACCOUNTS))
                wait_for(min(threads + 1, CONNECTIONS))
            assert [talk.answer().status for talk in talks] == [200] * len(talks)


def test_a_client_that_reads_nothing_keeps_nobody_waiting_and_misses_nothing(
    lone: Server, empty: Cluster, key: str
) -> None:
    make_accounts(empty, 100)
    path = f"{ACCOUNTS}?limit=100"
    with Talk(lone, key) as other, Talk(lone, key, SO_RCVBUF=4096) as slow:
        page = other.ask(path).body
        asked = MOST_IN_KERNEL // len(page) + 10
        slow.send(*[slow.request(path, "GET", b"", f"X-Request-Id: {PAGE}")] * asked)

        def has_stopped() -> bool:
            before = lone.log.read_text().count(PAGE)
            assert all(other.ask().status == 200 for _ in range(10))
            return 0 < before == lone.log.read_text().count(PAGE)

        wait_until(has_stopped, "no more is sent to who reads nothing")
        assert lone.log.read_text().count(PAGE) < asked
        assert all(slow.answer().body == page for _ in range(asked))


def test_a_client_with_many_lookups_keeps_nobody_waiting(lone: Server, key: str) -> None:
    many = 800
    with Talk(lone, key) as other, Talk(lone, "no key") as greedy:
        assert (other.ask("/api/trial-balance").status, greedy.ask().status) == (200, 401)
        with standing_still(worker(lone)):
            greedy.send(greedy.request(ACCOUNTS) * many)
            other.send(other.request("/api/trial-balance"))
        assert all(greedy.answer().status == 401 for _ in range(many))
        assert other.answer().status == 200
    paths = re.findall(r"path=(\S+)", lone.log.read_text())
    assert paths.count(ACCOUNTS) == many + 1
    assert paths[-1] == ACCOUNTS, "the other one had its turn before"


def test_clients_that_do_not_hang_up_keep_nobody_waiting(lone: Server, key: str) -> None:
    with Talk(lone, key) as other, ExitStack() as clients:
        other.ask()
        staying = [clients.enter_context(Talk(lone, "no key")) for _ in range(20)]
        for talk in staying:
            talk.ask()
        for talk in staying:
            talk.send(talk.request(ACCOUNTS, "GET", b"", "Connection: close"))
        assert staying[0].answer().is_the_last
        assert other.ask().status == 200


def test_a_client_that_hangs_up_while_its_lookup_waits_breaks_nothing(
    lone: Server, empty: Cluster, key: str
) -> None:
    with Talk(lone, key) as other:
        assert other.ask().status == 200
        before = sockets(lone)
        with locked(empty) as wait_for:
            with Talk(lone, key) as leaving:
                leaving.send(leaving.request(ACCOUNTS))
                wait_for(1)
            assert other.ask("/health").status == 200
        assert other.ask().status == 200
        wait_until(lambda: sockets(lone) == before, "its connection is closed")
    assert "Traceback" not in lone.log.read_text()


def test_a_lookup_that_waits_during_a_stop_is_answered(
    lone: Server, empty: Cluster, key: str
) -> None:
    with Talk(lone, key) as waiting, Talk(lone, key) as other:
        with waiting_lookup(waiting, empty):
            lone.process.send_signal(signal.SIGTERM)
            wait_until(lambda: other.ask("/health").is_the_last, "the worker stops")
        assert waiting.answer().status == 200
    assert lone.process.wait(10) == 0


def test_answers_come_in_order_whoever_gives_them(lone: Server, key: str) -> None:
    with Talk(lone, key) as talk:
        account = {"name": "Cash", "kind": "asset", "currency": "EUR"}
        post = talk.request(ACCOUNTS, "POST", json.dumps(account).encode())
        paths = ["/api/trial-balance", "/api/accounts/1", "/health", ACCOUNTS, "/nowhere"]
        gets = [talk.request(path) for path in paths]
        talk.send(*gets, post, *gets)
        answers = [talk.answer() for _ in range(11)]
        statuses = [answer.status for answer in answers]
        assert statuses == [200, 404, 200, 200, 404, 201, 200, 200, 200, 200, 404]
        created = json.loads(answers[5].body)
        assert json.loads(answers[9].body)["items"] == [created]
        assert talk.ask().status == 200


def test_a_get_may_have_a_body_and_another_may_follow(lone: Server, key: str) -> None:
    with Talk(lone, key) as talk:
        talk.ask()
        talk.send(talk.request(ACCOUNTS, body=b"GET / HTTP/1.1\r\n\r\n"), talk.request(ACCOUNTS))
        chunks = b"12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n"
        chunked = talk.request(ACCOUNTS, "GET", b"", "Transfer-Encoding: chunked")
        talk.send(chunked + chunks, talk.request("/health"))
        assert [talk.answer().status for _ in range(4)] == [200] * 4


def test_a_head_has_no_body_and_a_get_may_follow(lone: Server, key: str) -> None:
    with Talk(lone, key) as talk:
        usual = talk.ask()
        talk.send(talk.request(ACCOUNTS, "HEAD"), talk.request(ACCOUNTS))
        head = talk.answer(has_body=False)
        assert f"content-length: {len(usual.body)}".encode() in [h.lower() for h in head.head]
        assert (head.status, talk.answer().body) == (200, usual.body)


def test_a_path_is_the_same_however_it_is_written(lone: Server, key: str) -> None:
    with Talk(lone, key) as talk:
        usual = talk.ask()
        for path in ("/api/%61ccounts", "/api%2Faccounts", "http://there/api/accounts"):
            assert talk.ask(path).body == usual.body
        for path in ("/api/accounts/", "/api/accounts%2F1", "/api%252Faccounts"):
            assert talk.ask(path).status == 404


def test_a_head_may_come_in_pieces(lone: Server, key: str) -> None:
    with Talk(lone, key) as talk:
        usual = talk.ask()
        whole = talk.request(ACCOUNTS)
        for cut in (1, 10, 60, -3, -1):
            talk.send(whole, whole[:cut])
            assert talk.answer().body == usual.body
            talk.send(whole[cut:])
            assert talk.answer().body == usual.body
        assert talk.ask("/health").status == 200


def test_what_comes_before_a_malformed_request_is_answered(lone: Server, key: str) -> None:
    for line in ("GET /api/accounts", "GET /api accounts HTTP/1.1", "GET \x01 HTTP/1.1", "GET "):
        with Talk(lone, key) as talk:
            malformed = f"{line}\r\n\r\n".encode()
            talk.send(talk.request(ACCOUNTS), talk.request("/api/accounts/1"), malformed)
            assert [talk.answer().status for _ in range(3)] == [200, 404, 400]
            assert talk.is_closed()


def test_a_lookup_may_be_the_last_of_its_connection(lone: Server, key: str) -> None:
    with Talk(lone, key) as talk:
        talk.ask()
        talk.send(talk.request(ACCOUNTS, "GET", b"", "Connection: close"), talk.request(ACCOUNTS))
        answer = talk.answer()
        assert (answer.status, answer.is_the_last, talk.is_closed()) == (200, True, True)


def test_a_stop_does_not_wait_for_ever(lone: Server, empty: Cluster, key: str) -> None:
    with Talk(lone, key) as waiting:
        with waiting_lookup(waiting, empty):
            lone.process.send_signal(signal.SIGTERM)
            assert lone.process.wait(15) == 0
        assert waiting.is_closed()
    assert lone.process.stderr is not None
    assert (lone.process.stderr.read(), "Traceback" in lone.log.read_text()) == ("", False)


def test_a_lookup_that_lost_its_connection_is_answered_by_a_thread(
    lone: Server, empty: Cluster, key: str
) -> None:
    with Talk(lone, key) as waiting, empty.connect("postgres") as observer:
        assert waiting.ask().status == 200
        with locked(empty) as wait_for:
            waiting.send(waiting.request(ACCOUNTS), waiting.request("/api/accounts/1"))
            wait_for(1)
            (first,) = rows(observer, LOCKED)
            observer.execute("SELECT pg_terminate_backend(%s)", first)
            again = wait_until(
                lambda: [row for row in rows(observer, LOCKED) if row != first], "it waits again"
            )
            assert len(again) == 1
        assert [waiting.answer().status for _ in range(2)] == [200, 404]
    wait_until(lambda: "held 1 request, " in lone.log.read_text(), "the hold is told")


def make_accounts(cluster: Cluster, number: int) -> None:
    """Make accounts with long names."""
    with cluster.connect("appliance") as owner:
        owner.execute(
            "INSERT INTO accounts (name, kind, currency) "
            "SELECT rpad(n::text, 150, 'x'), 'asset', 'EUR' FROM generate_series(1, %s) n",
            (number,),
        )


def worker(server: Server) -> int:
    """The process id of the only worker."""
    (found,) = processes.descendants(server.process.pid)
    return found.pid


def sockets(server: Server) -> int:
    """How many sockets the worker has open."""
    return sum(opened.startswith("socket:") for opened in processes.opened(worker(server)))
