"""One cluster, clients that ask all the time, and a look at what they saw."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from appliance.database.connect import connect
from appliance.postgres import config
from appliance.storage.paths import Storage
from bench.books import MIX, seed
from bench.knobs import Knobs
from bench.ours import Ours, command
from bench.redeploy import wal
from bench.redeploy.outcome import Outcome, outcome
from load.outcomes import Sample
from load.own_process import Traffic

_WATCH_S = 8.0
_WATCH_QUICKLY_S = 2.0
# The bulk is written; the machine gets its breath back before the container is replaced.
_SETTLE_S = 1.0
# After the last step, if the steps took all the time there was.
_AFTER_S = 2.0


@dataclass(frozen=True)
class Stage:
    """Where all of it happens, and what is behind the cluster when it does.

    What the clients see is looked at for `watch_s` seconds, or longer if it is not over by then.
    The containers are those of `checkout`, or of this one.
    """

    folder: Path
    storage: Storage
    key: str
    clients: int
    wal_mib: int
    watch_s: float
    checkout: Path | None = None

    @property
    def statements(self) -> Path:
        """The SQL of the bare app."""
        return self.folder / "statements.json"


@dataclass
class Watch:
    """What there was to see."""

    traffic: Traffic
    since: float
    wal_mib: float
    requests: list[Sample] = field(default_factory=list)
    until: float = 0.0

    def outcome(self, phases_ms: dict[str, float]) -> Outcome:
        """What it comes to."""
        return outcome(self.requests, self.since, self.until, self.wal_mib, phases_ms)


def set_up(folder: Path, knobs: Knobs, checkout: Path | None = None) -> Stage:
    """Make the cluster that all scenarios share."""
    ours = Ours(folder, checkout=checkout)
    try:
        ours.boot()
        key = seed(ours.storage)
        wal.prepare(ours.storage)
    finally:
        ours.stop()
    watch_s = _WATCH_QUICKLY_S if knobs.quick else _WATCH_S
    return Stage(folder, ours.storage, key, knobs.clients, knobs.wal, watch_s, checkout)


@contextmanager
def watched(stage: Stage, port: int, *, exact: bool = True) -> Iterator[Watch]:
    """Clients ask the container at `port`, much is written, then it is replaced inside `with`.

    With `exact`, the bench ends if an acknowledged write is missing or was made twice.
    """
    before = _transactions(stage.storage)
    with Traffic(port, stage.key, MIX, stage.clients) as traffic:
        wal.write(stage.storage, stage.wal_mib)
        time.sleep(_SETTLE_S)
        behind = wal.behind(stage.storage)
        watch = Watch(traffic, time.monotonic(), behind)
        yield watch
        watch.until = max(watch.since + stage.watch_s, time.monotonic() + _AFTER_S)
        time.sleep(max(0.0, watch.until - time.monotonic()))
        watch.requests = traffic.end()
    acknowledged = sum(request.writes for request in watch.requests)
    made = _transactions(stage.storage) - before
    if exact and made != acknowledged:
        raise SystemExit(f"{acknowledged} writes were acknowledged, {made} were made.")


def phases(stage: Stage) -> dict[str, float]:
    """The phases of the last change of hands, as `appliance status` tells them."""
    ran = subprocess.run(
        [command(stage.checkout), "status", "--json"],
        env={**os.environ, "STORAGE_DIR": str(stage.storage.root)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return dict(json.loads(ran.stdout)["database"]["handoffs"][0]["phases_ms"])


def _transactions(storage: Storage) -> int:
    with connect(storage, config.OWNER_ROLE) as owner:
        row = owner.execute("SELECT count(*) FROM transactions").fetchone()
    assert row is not None
    return int(row[0])
