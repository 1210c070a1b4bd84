"""Each way to replace a container, once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from bench.books import MIX
from bench.gunicorn import Gunicorn
from bench.ours import Ours
from bench.processes import free_port
from bench.redeploy import wal
from bench.redeploy.bare_cluster import BareCluster
from bench.redeploy.lock_only import LockOnly
from bench.redeploy.outcome import Outcome
from bench.redeploy.stage import Stage, phases, watched
from load.own_process import Traffic

# The platform asks /up once a second. Here it is asked more often, so that a run is shorter;
# when the traffic moves makes no difference to how long the database is away.
_LOOK_EVERY_S = 0.05
_WARM_UP_S = 1.0


def planned(stage: Stage) -> Outcome:
    """(a) A second container starts, gets the database, is healthy; the first one is killed."""
    with _ours(stage) as (old, new):
        old.boot()
        with watched(stage, old.port) as watch:
            new.start()
            new.wait_until_up(_LOOK_EVERY_S)
            watch.traffic.move(new.port)
            old.kill()
        return watch.outcome(phases(stage))


def owner_killed(stage: Stage) -> Outcome:
    """(b) The container that owns the database is killed; the clients are at the other one."""
    with _ours(stage) as (survivor, owner):
        survivor.boot()
        owner.boot()
        with watched(stage, survivor.port) as watch:
            owner.kill()
        return watch.outcome(phases(stage))


def lock_only(stage: Stage) -> Outcome:
    """(c) A second container is healthy as a client of the first, which is then killed."""
    old, new = (LockOnly(stage.folder, stage.storage, stage.statements) for _ in range(2))
    try:
        old.start()
        old.wait_until_up()
        # Not exact: a client that repeats a write whose answer was lost makes it twice.
        with watched(stage, old.port, exact=False) as watch:
            new.start()
            new.wait_until_up(_LOOK_EVERY_S)
            watch.traffic.move(new.port)
            old.kill()
        return watch.outcome({})
    finally:
        old.stop()
        new.stop()


def stop_then_start(stage: Stage) -> Outcome:
    """(d) The only container is stopped; when it has ended, another one starts."""
    with _ours(stage) as (old, new):
        old.boot()
        with watched(stage, old.port) as watch:
            old.stop()
            new.start()
            watch.traffic.move(new.port)
        return watch.outcome({})


def floor_idle(stage: Stage) -> Outcome:
    """CHECKPOINT, stop, start: Postgres alone, and nobody uses it."""
    return _bare(stage, BareCluster.restart, loaded=False)


def floor(stage: Stage) -> Outcome:
    """The same with the sessions and the unwritten pages of the load, which ends just before."""
    return _bare(stage, BareCluster.restart, loaded=True)


def recovery(stage: Stage) -> Outcome:
    """All of Postgres is killed and started again, after the load."""
    return _bare(stage, BareCluster.crash, loaded=True)


@contextmanager
def _ours(stage: Stage) -> Iterator[tuple[Ours, Ours]]:
    first, second = (Ours(stage.folder, stage.storage, checkout=stage.checkout) for _ in range(2))
    try:
        yield first, second
    finally:
        # In this order, so that the database does not change hands once more.
        first.stop()
        second.stop()


def _bare(stage: Stage, measure: Callable[[BareCluster], float], *, loaded: bool) -> Outcome:
    cluster = BareCluster(stage.folder, stage.storage)
    environment = {"BARE_STATEMENTS": str(stage.statements)}
    app = "bench.bare_app:application"
    gunicorn = Gunicorn(stage.folder, stage.storage, free_port(), app, environment)
    try:
        cluster.start()
        if loaded:
            gunicorn.start()
            gunicorn.wait_until_up()
        load = Traffic(gunicorn.port, stage.key, MIX, stage.clients) if loaded else nullcontext()
        with load as traffic:
            wal.write(stage.storage, stage.wal_mib)
            time.sleep(_WARM_UP_S)
            behind = wal.behind(stage.storage)
            if measure is BareCluster.restart:
                wal.checkpoint(stage.storage)
            if traffic is not None:
                traffic.end()
        return Outcome(measure(cluster), behind)
    finally:
        gunicorn.stop()
        cluster.stop()
