"""Backups and drills by themselves: when they are due, by one container, and again if they fail."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from appliance.backups import audit, backup_status
from appliance.backups.format.backup_name import BackupName
from appliance.backups.jobs.schedule import BACKUP, DRILL, Job, Schedule
from appliance.handoff import channel
from appliance.handoff.messages import BackupRequest, JobDone, JobStarted, NotUnderstood
from appliance.storage.instances import InstanceDirectory
from appliance.storage.paths import Storage
from appliance.system.files import write_json
from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.handoff.scene import instance, noted_owner, wait_for_line, wait_until_owner
from tests.harness.appliance import Appliance, waiting
from tests.harness.waiting import wait_until

Make = Callable[..., Appliance]

HOUR = 3600
DAILY = {"BACKUP_SCHEDULE": "1", "BACKUP_ACKNOWLEDGED": "true"}
WARNING = "warning: no backup is kept outside this storage"


def _due(storage: Storage, *names: str) -> None:
    """Write down that these jobs should have begun a while ago."""
    now = int(time.time())
    job = Job(next_at=now - 5, slot_at=now - 5, interval_s=HOUR, tries=0, last_at=now - HOUR)
    jobs = {name: vars(job) for name in names}
    write_json(storage.backup_schedule, {"format": 1, "jobs": jobs})


def _wake(*appliances: Appliance) -> None:
    """Wake the agents, who would look at the clock within a minute anyway."""
    for one in appliances:
        with channel.connect(InstanceDirectory(one.storage, instance(one)).socket) as agent:
            agent.send(NotUnderstood("hello"))


def _seen(storage: Storage) -> list[tuple[Any, ...]]:
    """What the schedule has done, by the audit."""
    entries = audit.tail(storage, 1000)
    return [(one["action"], one["ok"]) for one in entries if one["actor"] == "schedule"]


def _wait_for(storage: Storage, *wanted: tuple[str, bool]) -> None:
    wait_until(lambda: _seen(storage) == list(wanted), f"{wanted} by the schedule", 90)


def _settled(storage: Storage, *names: str) -> None:
    """Wait until these jobs are done and wait for their next slot."""

    def settled() -> bool:
        jobs = [Schedule(storage).job(name) for name in names]
        return all(job and job.tries == 0 and job.next_at > time.time() + 60 for job in jobs)

    wait_until(settled, f"{names} wait for their next slot")


@pytest.fixture
def prepared(storage_folder: Path, prepare: Callable[[Path], Path]) -> Storage:
    """A storage where both jobs are due."""
    storage = Storage(prepare(storage_folder))
    _due(storage, BACKUP, DRILL)
    return storage


def test_what_is_due_is_done_once_by_the_owner_and_not_again_after_a_restart(
    prepared: Storage, make_appliance: Make
) -> None:
    hours = {**DAILY, "BACKUP_DRILL": "1"}
    first = make_appliance(**hours).start().wait_until_up()
    _wait_for(prepared, ("create", True), ("prune", True), ("drill", True))
    _settled(prepared, BACKUP, DRILL)
    assert WARNING not in first.log
    cli = BackupCommand(first, prepared.backups)
    made = cli.names()
    assert len(made) == 1
    assert BackupName(made[0]).is_generated
    noted = backup_status.read(prepared)
    assert noted.backup is not None
    assert noted.proven is not None
    assert (noted.backup.name, noted.proven.name) == (made[0], made[0])
    second = make_appliance(**hours).start().wait_until_up()
    wait_until_owner(second)
    _due(prepared, BACKUP)
    _wake(first, second)
    _wait_for(prepared, *_once_more(("drill", True)))
    _settled(prepared, BACKUP)
    wait_for_line(second, "made the scheduled backup")
    assert first.log.count("made the scheduled backup") == 1
    assert second.stop() == 0
    wait_until_owner(first)
    assert first.stop() == 0
    third = make_appliance(**hours).start().wait_until_up()
    for one in range(2):
        # The second message is read after all that the first one may have caused has begun.
        _wake(third)
        wait_until(lambda: _asked(third), f"answer {one}")
    assert _seen(prepared) == _once_more(("drill", True))
    assert len(BackupCommand(third, prepared.backups).names()) == 2


def _once_more(*between: tuple[str, bool]) -> list[tuple[str, bool]]:
    done = [("create", True), ("prune", True)]
    return [*done, *between, *done]


def _asked(appliance: Appliance) -> bool:
    with channel.connect(InstanceDirectory(appliance.storage, instance(appliance)).socket) as agent:
        within = time.monotonic() + 60
        agent.send(BackupRequest("list", "tests", not_after=within))
        assert agent.receive(60) == JobStarted()
        return isinstance(agent.receive(60), JobDone)


def test_only_backups_of_the_schedule_are_pruned_and_a_failed_one_prunes_nothing(
    make_appliance: Make, storage_folder: Path, place: Path
) -> None:
    nas = place / "nas"
    owner = make_appliance(**DAILY, BACKUP_RETENTION="1", BACKUP_DESTINATIONS=f"nas={nas}")
    cli = BackupCommand(owner, owner.storage.backups)
    owner.start().wait_until_up()
    assert WARNING not in owner.log
    alone = cli.given(BACKUP_DESTINATIONS="")
    alone.run("create", "--name", "by-hand")
    older = alone.json("create")["name"]
    _due(owner.storage, BACKUP)
    _wake(owner)
    _wait_for(owner.storage, ("create", False))
    wait_for_line(owner, "the scheduled backup failed:")
    assert "kept in local, but not in nas" in owner.log
    job = wait_until(lambda: Schedule(owner.storage).job(BACKUP), "the job")
    assert (job.tries, 0 < job.next_at - time.time() <= 15 * 60) == (1, True)
    failure = backup_status.read(owner.storage).failure
    assert failure is not None
    assert "not in nas" in failure.message
    # Another appliance may keep its backups there, too; this one is older than all.
    others = older.replace(older[10:14], "2001")
    scene.copy(cli.folder / older, cli.folder / others, others)
    created_at = "2001-01-01T00:00:00.000Z"
    scene.edit(
        cli.folder / others,
        lambda manifest: manifest.update(system_identifier="1", created_at=created_at),
    )
    names = alone.names()
    assert len(names) == 4
    assert {"by-hand", others, older} < set(names)
    scene.own_folder(place, "nas")
    _due(owner.storage, BACKUP)
    _wake(owner)
    _wait_for(owner.storage, ("create", False), ("create", True), ("prune", True))
    _settled(owner.storage, BACKUP)
    newest = cli.names()[0]
    assert newest not in names
    assert cli.names() == [newest, "by-hand", others]


def test_a_backup_that_a_handoff_breaks_off_is_due_again_for_the_new_owner(
    prepared: Storage, make_appliance: Make
) -> None:
    hours = {"BACKUP_SCHEDULE": "1"}
    first = make_appliance(**hours).start().wait_until_up()
    assert WARNING in first.log
    _wait_for(prepared, ("create", True), ("prune", True))
    _settled(prepared, BACKUP)
    _due(prepared, BACKUP)
    # The lock goes with the database.
    with suppress(psycopg.OperationalError), scene.held(first) as wait:
        _wake(first)
        wait()
        second = make_appliance(**hours).start().wait_until_up()
        wait_until_owner(second)
    wait_until(lambda: waiting(first), "the old owner waits")
    wait_for_line(first, "the scheduled backup failed:")
    _wait_for(prepared, ("create", True), ("prune", True), ("create", False))
    job = wait_until(lambda: Schedule(prepared).job(BACKUP), "the job")
    assert (job.tries, job.next_at > time.time()) == (1, True)
    assert len(list(prepared.backups.glob("appliance-*"))) == 1
    assert list(prepared.backups.glob(".staging*")) == []
    assert noted_owner(second) == instance(second)
    _due(prepared, BACKUP)
    _wake(second)
    wait_until(lambda: _seen(prepared)[-2:] == [("create", True), ("prune", True)], "again", 60)
    wait_for_line(second, "made the scheduled backup")


def test_a_folder_elsewhere_is_enough_not_to_be_warned_and_one_in_the_storage_is_not(
    make_appliance: Make, storage_folder: Path, place: Path
) -> None:
    elsewhere = make_appliance(BACKUP_DIR=str(scene.own_folder(place, "elsewhere")))
    elsewhere.start().wait_until_up()
    assert WARNING not in elsewhere.log
    inside = make_appliance(BACKUP_DIR=str(storage_folder / "backups" / "more")).start()
    wait_for_line(inside, WARNING)
