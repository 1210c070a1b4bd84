"""Backups and restores as the platform makes them, and what must be in the books afterwards."""

import itertools
import json
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from docker.models.containers import Container

from load import bookkeeping
from load.client import Client
from load.closed_loop import ClosedLoop, Turn
from load.outcomes import RequestOutcome
from load.switch import Switch
from load.writes import Acknowledged, sale
from tests.image.contained import Contained
from tests.platform import Application, Platform, backup, restore
from tests.platform.backup import HOOK as PRE_BACKUP
from tests.platform.backup import copy_storage
from tests.platform.containers import Executed, execute, remove_by_force, volume_mounts
from tests.platform.faults import new_volume
from tests.platform.volume import Volume

POST_RESTORE = restore.HOOK
MANIFEST = "data/backups/.hook/manifest.json"
LAST_MARK = "data/run/hook-window.json"


class Books:
    """The books of an appliance, and what it acknowledged: the names of sales and their ids."""

    def __init__(self, appliance: Contained) -> None:
        self.appliance = appliance
        self._acknowledged = Acknowledged[str]()
        self._numbers = itertools.count(1)
        self._key = appliance.key()
        with self._client_of(appliance) as client:
            self._accounts = bookkeeping.open_accounts(client, "Cash", "Sales")

    def record(self, count: int = 10) -> dict[str, int]:
        """Record so many more; returns all that was acknowledged until now."""
        with self._client_of(self.appliance) as client:
            for _ in range(count):
                assert self._record_one(client), "the appliance does not take it"
        return self.so_far()

    def so_far(self) -> dict[str, int]:
        """All that was acknowledged until now."""
        return self._acknowledged.so_far()

    @contextmanager
    def being_written(self, clients: int = 3) -> Iterator[None]:
        """Clients record without a pause while the block lasts; some is acknowledged before."""
        with ExitStack() as stack:
            made = [stack.enter_context(self._client_of(self.appliance)) for _ in range(clients)]
            stack.enter_context(ClosedLoop([self._turn_of(client) for client in made]))
            self.wait_for_more()
            yield

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more are acknowledged."""
        self._acknowledged.wait_for_more(count)

    def check(
        self, restored: Contained, acknowledged: Mapping[str, int], *, exactly: bool = False
    ) -> None:
        """What was acknowledged is there, the books balance, the next transaction is taken.

        The key is one of before the backup.
        """
        rows = restored.sql("SELECT id, description FROM transactions").splitlines()
        there = {int(row.split("|")[0]): row.split("|")[1] for row in rows}
        expected = {identity: name for name, identity in acknowledged.items()}
        assert expected.items() <= there.items(), "acknowledged and not there"
        assert not exactly or there == expected, "there is more than there was"
        with self._client_of(restored) as client:
            balance = bookkeeping.trial_balance(client)
            client.ask(sale(0, self._accounts).request, "sale-0")
        assert balance["balanced"] is True
        assert all(Decimal(line["difference"]) == 0 for line in balance["totals"])

    def _turn_of(self, client: Client[Contained]) -> Turn:
        def turn(_number: int) -> None:
            # While a backup is made some may be refused.
            self._record_one(client)

        return turn

    def _record_one(self, client: Client[Contained]) -> bool:
        number = next(self._numbers)
        exchange = client.send(sale(number, self._accounts).request, f"sale-{number}")
        assert exchange.response.status, f"the proxy did not answer: {exchange}"
        if exchange.outcome is not RequestOutcome.ACKNOWLEDGED:
            return False
        self._acknowledged.add(exchange.request.name, exchange.response.document["id"])
        return True

    def _client_of(self, appliance: Contained) -> Client[Contained]:
        # The proxy gives up before its client does.
        return Client(Switch(appliance), self._key, limit_s=35.0)


class Archives:
    """Two backups of one appliance: by a hook that worked, and later of a paused container."""

    def __init__(self, appliance: Contained, folder: Path) -> None:
        self.platform = appliance.platform
        self.books = Books(appliance)
        appliance.sql("CREATE ROLE keeper LOGIN", "CREATE DATABASE stock OWNER keeper")
        sql_in(appliance, "stock", "SET ROLE keeper", "CREATE TABLE boxes AS SELECT 7 AS n")
        self.hook, self.paused = folder / "hook", folder / "paused"
        self.in_hook = self.books.record()
        with mock.patch.object(backup, "copy_storage", self._write_and_copy):
            self.platform.backup(appliance.app, self.hook)
        self.in_paused = self.books.record()
        appliance.sql("CHECKPOINT")
        self.table = appliance.sql("SELECT pg_relation_filepath('transactions')")
        assert execute(appliance.container, "rm", PRE_BACKUP).code == 0
        self.platform.backup(appliance.app, self.paused)

    def _write_and_copy(self, container: Container, target: tarfile.TarFile) -> None:
        # The cluster beside the dump is not torn by chance; this tells it from the dump.
        self.in_torn = self.books.record(1)
        copy_storage(container, target)


class Restore:
    """A restore step by step: what the platform does, with time to break things in between."""

    def __init__(self, platform: Platform, app: Application, volume: Volume) -> None:
        self.platform = platform
        self.app = app
        self.volume = volume

    def run_hook(self) -> None:
        """Run the hook as the platform does; raises RestoreError."""
        restore.run_hook(self.platform.containers, self.app, self.volume)

    @contextmanager
    def idle(self) -> Iterator[Container]:
        """The container that the platform runs the hook in."""
        environment = self.app.environment(self.volume.secrets)
        containers, mounts = self.platform.containers, volume_mounts(self.volume)
        name = f"restore-hook-{secrets.token_hex(3)}"
        created = containers.create_idle(name, self.app.image, mounts, environment)
        with restore.idle(created) as container:
            yield container

    def look(self, *command: str) -> str:
        """What a command says of the storage, in a container where nothing runs."""
        with self.idle() as container:
            return execute(container, *command).stdout.strip()

    def start_too_early(self) -> tuple[int, str]:
        """Start the appliance once, as it would be deployed; returns its exit code and its log."""
        container = self.platform.client.containers.create(
            self.app.image,
            environment=self.app.environment(self.volume.secrets),
            mounts=volume_mounts(self.volume),
        )
        try:
            container.start()
            code = int(container.wait(timeout=60)["StatusCode"])
            return code, container.logs().decode(errors="replace")
        finally:
            remove_by_force(container)

    def deploy(self) -> Contained:
        """Deploy what was restored."""
        self.platform.deploy(self.app)
        return Contained(self.platform, self.app)


@contextmanager
def populated(platform: Platform, archive: Path, size: str = "") -> Iterator[Restore]:
    """A restore that has come as far as the hook. With `size` the volume is a tmpfs that small."""
    with restore.reading(archive) as (original, kept, data):
        app = restore.renamed(original, f"{original.name}-{secrets.token_hex(3)}", original.image)
        volume = new_volume(platform.client, Volume(platform.volume_name(app), kept), size)
        half_way = Restore(platform, app, volume)
        try:
            # What is in a tmpfs is gone when nobody has it mounted.
            with half_way.idle() if size else nullcontext():
                restore.populate(platform.containers, app, volume, data)
                yield half_way
        finally:
            platform.remove(app)


@contextmanager
def restored(platform: Platform, archive: Path, image: str = "") -> Iterator[Contained]:
    """The new application that the platform makes of an archive; removed at the end."""
    app = platform.restore(archive, image)
    try:
        yield Contained(platform, app)
    finally:
        platform.remove(app)


def source(appliance: Contained) -> str:
    """What the restore was made from, as its audit says: `dump` or `pgdata`."""
    audit = execute(appliance.container, "cat", "/storage/run/backup-audit.jsonl").stdout
    last: dict[str, Any] = json.loads(audit.splitlines()[-1])
    assert last["action"] == "hook post-restore"
    return str(last["source"])


def sql_in(appliance: Contained, database: str, *statements: str) -> str:
    """Run statements in another database, all in one session."""
    commands = [word for statement in statements for word in ("-c", statement)]
    result = appliance.run("psql", "--role", "postgres", "-XAtq", "-d", database, *commands)
    return result.stdout.strip()


def pre_backup(container: Container) -> Executed:
    """Run the hook as the platform does."""
    return execute(container, PRE_BACKUP)
