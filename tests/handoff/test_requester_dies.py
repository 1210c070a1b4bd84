"""The new container is killed at every step of a handoff: the database is never without an owner.

Each step is held open, so that the kill cannot miss it.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.handoff.request_database import TAKE_LIMIT_S
from appliance.migrations.runner import ADVISORY_LOCK
from appliance.postgres import config
from tests.handoff import scene
from tests.handoff.conftest import Make
from tests.harness.appliance import Appliance
from tests.harness.appliance_load import Load
from tests.harness.freezing import frozen
from tests.harness.nightly import most_at_night
from tests.harness.waiting import wait_until

Step = Callable[[Appliance, Appliance], AbstractContextManager[None]]


@contextmanager
def before_its_claim(owner: Appliance, new: Appliance) -> Iterator[None]:
    """It waits to migrate, because somebody else does."""
    with owner.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))
        new.start()
        wait_until(lambda: "advisory" in last_statement_of_an_agent(other), "it wants to", 60)
        yield
    assert scene.REQUESTS not in owner.log


@contextmanager
def accepted(owner: Appliance, new: Appliance) -> Iterator[None]:
    """A dump keeps the owner from going on."""
    with owner.connect() as dump:
        dump.execute("SET application_name = 'pg_dump'")
        new.start()
        scene.wait_for_line(owner, "a dump is running")
        yield
    assert scene.REQUESTS in owner.log


@contextmanager
def during_the_checkpoint(owner: Appliance, new: Appliance) -> Iterator[None]:
    """The process that writes the checkpoint is frozen."""
    with frozen(scene.child_of_postgres(owner, "checkpointer")):
        new.start()
        scene.wait_for_line(owner, scene.REQUESTS)
        with owner.connect(config.SUPERUSER) as watching:
            wait_until(lambda: last_statement_of_an_agent(watching) == "CHECKPOINT", "it does")
        yield


@contextmanager
def between_stop_and_lock(owner: Appliance, new: Appliance) -> Iterator[None]:
    """The owner's Postgres was told to stop, but one of its processes is frozen."""
    with owner.connect() as hanging, frozen(hanging.info.backend_pid):
        new.start()
        scene.wait_for_line(owner, "received fast shutdown request")
        yield
        assert scene.OWNS_NOW not in new.log


@contextmanager
def between_lock_and_postgres(owner: Appliance, new: Appliance) -> Iterator[None]:
    """Its Postgres program reads a configuration file that nobody writes."""
    file = owner.storage.pgdata / "pg_hba.conf"
    kept = file.rename(file.with_suffix(".kept"))
    os.mkfifo(file)
    new.start()
    scene.wait_for_line(new, scene.OWNS_NOW)
    writer = wait_until(lambda: _open_to_write(file), "the configuration is read")
    try:
        kept.rename(file)
        yield
    finally:
        os.close(writer)
    assert "ready to accept connections" not in new.log


def _open_to_write(pipe: Path) -> int | None:
    """A descriptor that keeps the reader of the pipe waiting; None while nobody reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


STEPS = (
    before_its_claim,
    accepted,
    during_the_checkpoint,
    between_stop_and_lock,
    between_lock_and_postgres,
)
KEPT = STEPS[:3]
BY_DAY = (before_its_claim, between_stop_and_lock, between_lock_and_postgres)


@pytest.mark.parametrize(
    "step", most_at_night(STEPS, BY_DAY), ids=lambda step: step.__name__.replace("_", " ")
)
def test_when_the_requester_is_killed_the_old_one_serves_and_fails_no_request(
    owner: Appliance, make_appliance: Make, step: Step
) -> None:
    first, new = owner.postmaster(), make_appliance()
    with Load(owner) as load:
        with step(owner, new):
            new.kill_everything()
        scene.wait_until_owner(owner)
        load.wait_for_more()
        if step in KEPT:
            assert owner.postmaster() == first, "it did not notice"
    load.verify(owner)
    assert load.outcomes.longest_s < scene.TAKE_BACK_LIMIT_S
    assert "handoff" not in scene.kinds(owner)
    another_can_have_it(owner, make_appliance)


def test_a_requester_whose_postgres_does_not_take_the_database_does_not_request_it_again(
    owner: Appliance, make_appliance: Make
) -> None:
    new = make_appliance()
    with Load(owner) as load:
        with accepted(owner, new):
            waiting = new.programs()["postgres"].pid
            os.kill(waiting, signal.SIGSTOP)
        with frozen(waiting):
            scene.wait_for_line(owner, scene.HANDS_OVER)
            scene.wait_until_owner(owner)
            new.wait_until_up()
        load.switch(owner, new)
        load.wait_for_more()
    load.verify(owner)
    assert f"did not take it within {TAKE_LIMIT_S:g} s" in new.log
    assert owner.log.count(scene.HANDS_OVER) == 1
    scene.assert_roles(owner, new)


def another_can_have_it(owner: Appliance, make_appliance: Make) -> None:
    """A requester's death leaves nothing behind that would stop the next one."""
    next_one = make_appliance().start().wait_until_up()
    scene.assert_roles(next_one, owner)


def last_statement_of_an_agent(watching: Any) -> str:
    row = watching.execute(
        "SELECT query FROM pg_stat_activity WHERE application_name = 'steward' "
        "ORDER BY query_start DESC LIMIT 1"
    ).fetchone()
    return str(row[0]) if row else ""
