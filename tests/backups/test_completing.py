"""A scheduled backup that did not get everywhere is carried there, not made again."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.backups import audit, backup_status
from appliance.backups.jobs.schedule import BACKUP, RETRY_S, Job, Schedule, covers
from appliance.handoff import channel
from appliance.handoff.messages import NotUnderstood
from appliance.storage.instances import InstanceDirectory
from appliance.storage.lock import is_locked
from appliance.storage.paths import Storage
from appliance.system.files import write_json
from tests.backups import scene
from tests.backups.destinations.backups import contents
from tests.backups.destinations.servers import Server
from tests.backups.scene import BackupCommand
from tests.handoff.scene import instance, wait_for_line
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

NOW, HOUR = 1_800_000_000, 3600
RETRY = Job(next_at=NOW + RETRY_S, slot_at=NOW - RETRY_S, interval_s=HOUR, tries=2, last_at=0)


@pytest.mark.parametrize(
    ("job", "made_at", "covered"),
    [
        (RETRY, NOW - RETRY_S, True),
        (RETRY, NOW - 0.5, True),
        (RETRY, NOW - RETRY_S - 1, False),
        (replace(RETRY, tries=3), NOW - RETRY_S, True),
        (replace(RETRY, tries=1), NOW - 0.5, False),
        (replace(RETRY, slot_at=NOW - HOUR), NOW - HOUR + 1, True),
        (replace(RETRY, slot_at=NOW - HOUR), NOW - HOUR, False),
    ],
)
def test_a_retry_takes_what_its_slot_has_made_if_that_is_not_too_old(
    job: Job, made_at: float, covered: bool
) -> None:
    assert covers(job, made_at, NOW) is covered


def test_a_retry_stores_the_backup_where_it_is_missing_and_makes_no_other(
    make_appliance: Callable[..., Appliance], place: Path
) -> None:
    nas, mount = scene.own_folder(place, "elsewhere"), place / "nas"
    public = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    variables = {"BACKUP_SCHEDULE": "1", "BACKUP_DESTINATIONS": f"nas={mount}"}
    owner = make_appliance(**variables, BACKUP_RECIPIENTS=public).start().wait_until_up()
    cli = BackupCommand(owner, owner.storage.backups, BACKUP_DESTINATIONS="")
    slot_at = _wake(owner, tries=0)
    wait_for_line(owner, "the scheduled backup failed:")
    [made] = cli.names()
    _wake(owner, tries=1, slot_at=slot_at)
    wait_until(lambda: owner.log.count("the scheduled backup failed:") == 2, "a second failure")
    assert cli.names() == [made]
    failure = backup_status.read(owner.storage).failure
    assert failure is not None
    assert f"The backup {made} was made and kept in local, but not in nas:" in failure.message
    nas.rename(mount)
    _wake(owner, tries=1, slot_at=slot_at)
    wait_for_line(owner, f"completed the scheduled backup {made}, kept in local, nas")
    assert contents(mount / made) == contents(cli.folder / made)
    assert cli.names() == [made]
    assert list(cli.folder.glob(".staging*")) == []
    assert _seen(owner.storage) == [
        ("create", False),
        ("complete", False),
        ("complete", True),
        ("prune", True),
    ]
    noted = backup_status.read(owner.storage)
    assert noted.failure is None
    assert noted.backup is not None
    assert (noted.backup.name, noted.backup.destinations) == (made, ("local", "nas"))
    job = Schedule(owner.storage).job(BACKUP)
    assert job is not None
    assert (job.tries, job.next_at) == (0, slot_at + HOUR)


def test_what_is_in_a_bucket_only_is_fetched_and_carried_to_a_folder_that_is_back(
    make_appliance: Callable[..., Appliance], place: Path, s3_server: Server
) -> None:
    disk, mount = scene.own_folder(place, "elsewhere"), place / "disk"
    bucket = scene.in_bucket(s3_server, f"completing/{secrets.token_hex(4)}")
    owner = make_appliance(BACKUP_SCHEDULE="1", BACKUP_DIR=str(mount), **bucket)
    owner.start().wait_until_up()
    cli = BackupCommand(owner, mount, **bucket)
    slot_at = _wake(owner, tries=0)
    wait_for_line(owner, f"but not in local: The folder {mount} for backups does not exist.")
    [made] = json.loads(cli.run("list", "--json", code=1).stdout)
    assert made["destinations"] == ["r2"]
    disk.rename(mount)
    _wake(owner, tries=1, slot_at=slot_at)
    wait_for_line(owner, f"completed the scheduled backup {made['name']}, kept in local, r2")
    cli.run("verify", made["name"], "--from", "local")
    assert cli.names() == [made["name"]]
    assert list(owner.storage.backups.glob(".staging*")) == []


def _wake(owner: Appliance, tries: int, slot_at: int | None = None) -> int:
    """Have a try of the slot begin now."""
    planned = Schedule(owner.storage)
    wait_until(lambda: planned.job(BACKUP), "the schedule is planned")
    wait_until(lambda: not is_locked(owner.storage.schedule_lock), "nobody works on it")
    now = int(time.time())
    job = Job(now - 1, slot_at or now - 1, HOUR, tries, now - HOUR)
    document = {"format": 1, "jobs": {BACKUP: vars(job)}}
    write_json(owner.storage.backup_schedule, document)
    with channel.connect(InstanceDirectory(owner.storage, instance(owner)).socket) as agent:
        agent.send(NotUnderstood("hello"))
    return job.slot_at


def _seen(storage: Storage) -> list[tuple[str, bool]]:
    return [(one["action"], one["ok"]) for one in audit.tail(storage, 100)]
