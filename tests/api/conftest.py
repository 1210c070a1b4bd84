"""A real Postgres 16 for these tests: a throwaway cluster, migrated by the real runner."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon.testing
import psycopg
import pytest

from appliance.api.app import create_app
from appliance.apps.books.books import BOOKS
from appliance.database.connect import Connection, connect
from appliance.database.units_of_work import Database
from appliance.migrations.schema_check import SchemaGate
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.web import api_keys
from tests.api.backup_client import BackupClient
from tests.harness.appliance import Appliance, ending
from tests.harness.postgres_program import PostgresProgram
from tests.harness.prepared import prepared_storage

SERVER = Path(__file__).parent / "serve.py"


@dataclass(frozen=True)
class Cluster:
    """The throwaway cluster and its roles."""

    storage: Storage

    def connect(self, role: str = config.API_ROLE) -> Connection:
        return connect(self.storage, role)

    def database(self, hold_seconds: float = 5.0) -> Database:
        return Database(self.connect, self.storage.socket, hold_seconds)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One for the whole session, migrated; a crash of the machine may cost it its data."""
    with prepared_storage() as root, ending(PostgresProgram(root)) as program:
        program.start().wait_until_serving().migrate()
        with program.connect(database="postgres") as superuser:
            superuser.execute("ALTER SYSTEM SET fsync = off")
            superuser.execute("SELECT pg_reload_conf()")
        yield Cluster(program.storage)


@pytest.fixture
def empty(cluster: Cluster) -> Cluster:
    """The cluster with empty books. Only a superuser who switches the triggers off can do it."""
    with cluster.connect(config.SUPERUSER) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "TRUNCATE accounts, transactions, postings, appliance.idempotency_keys, "
            "appliance.api_keys RESTART IDENTITY"
        )
    return cluster


@pytest.fixture
def key(empty: Cluster) -> str:
    """An API key."""
    with empty.connect(config.OWNER_ROLE) as owner:
        return api_keys.create(owner, "test")


@pytest.fixture
def admin_key(empty: Cluster) -> str:
    """An API key with the admin right."""
    with empty.connect(config.OWNER_ROLE) as owner:
        return api_keys.create(owner, "admin", admin=True)


@pytest.fixture(scope="package")
def backup_client() -> Iterator[BackupClient]:
    """A whole appliance, with an agent that works on its backups. Tests share it."""
    with prepared_storage() as root, ending(Appliance(root)) as appliance:
        yield BackupClient(appliance.start().wait_until_up())


@dataclass
class Client:
    """Speaks to the app in this process, with a key."""

    client: falcon.testing.TestClient
    key: str
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, **options: Any) -> falcon.testing.Result:
        headers = {"Authorization": f"Bearer {self.key}", **(options.pop("headers", None) or {})}
        sent = {name: value for name, value in headers.items() if value is not None}
        return self.client.simulate_request(method, path, headers=sent, **options)

    def get(self, path: str, **options: Any) -> falcon.testing.Result:
        return self.request("GET", path, **options)

    def post(self, path: str, document: Any, **options: Any) -> falcon.testing.Result:
        body = document if isinstance(document, str | bytes) else json.dumps(document)
        headers = {"Content-Type": "application/json", **(options.pop("headers", None) or {})}
        return self.request("POST", path, body=body, headers=headers, **options)

    def account(self, name: str = "Cash", kind: str = "asset", currency: str = "EUR") -> int:
        answer = self.post("/api/accounts", {"name": name, "kind": kind, "currency": currency})
        assert answer.status_code == 201, answer.text
        return int(answer.json["id"])


@pytest.fixture
def make_client(empty: Cluster, key: str) -> Iterator[Callable[..., Client]]:
    """Makes a client of an app with settings of its own."""
    opened: list[Database] = []

    def make(**settings: Any) -> Client:
        database = empty.database()
        opened.append(database)
        configured = Settings(**settings)
        gate = SchemaGate(
            database, load_tracks(BOOKS.tracks(), None), skip=configured.skip_schema_check
        )
        app = create_app(configured, empty.storage, database, gate, BOOKS)
        return Client(falcon.testing.TestClient(app), key)

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """A client of the app with default settings."""
    return make_client()


@dataclass(frozen=True)
class Server:
    """A real server in a process of its own."""

    process: "subprocess.Popen[str]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server(empty: Cluster, tmp_path: Path) -> Iterator[Server]:
    """gunicorn with the app, as the container runs it."""
    with serving(empty, tmp_path / "log", workers=2, threads=4) as running:
        yield running


@contextmanager
def serving(cluster: Cluster, log: Path, workers: int, threads: int) -> Iterator[Server]:
    """Run a server, with as many workers and threads in each."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, SERVER, cluster.storage.root, str(workers), str(threads)],
            stdout=sink,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr is not None
    announced = process.stderr.readline()
    assert announced.startswith("port "), announced + process.stderr.read()
    try:
        yield Server(process, int(announced.split()[1]), log)
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stderr.close()


@pytest.fixture
def books(client: Client) -> "Books":
    """Two accounts to post between."""
    return Books(client, client.account("Cash"), client.account("Sales", "income"))


@dataclass(frozen=True)
class Books:
    """A client and two accounts in EUR."""

    client: Client
    cash: int
    sales: int

    def transaction(self, amount: str = "12.50", **changes: Any) -> dict[str, Any]:
        opposite = amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"
        return {
            "date": "2026-11-20",
            "description": "Sold a book",
            "postings": [
                {"account_id": self.cash, "amount": amount},
                {"account_id": self.sales, "amount": opposite},
            ],
            **changes,
        }

    def record(self, amount: str = "12.50", **options: Any) -> falcon.testing.Result:
        return self.client.post("/api/transactions", self.transaction(amount), **options)


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query).fetchall()


__all__ = ["Books", "Client", "Cluster", "Server", "psycopg", "rows"]
