"""When a job is due: over restarts, crashes, failures, jumping clocks and new intervals."""

import json
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backups.backup_errors import BackupError
from appliance.backups.jobs import schedule
from appliance.backups.jobs.schedule import BACKUP, DRILL, RETRY_S, TRIES, Job, Schedule
from appliance.storage.paths import Storage
from tests.harness.examples import tries

NOW = 1_800_000_000
HOUR, DAY = 3600, 24 * 3600
INTERVALS = st.sampled_from([36, 600, HOUR, 6 * HOUR, DAY, 168 * HOUR])
PAUSES = st.one_of(st.integers(0, 2 * HOUR), st.integers(0, 40 * DAY))
WORK = st.tuples(st.sampled_from(["success", "failure", "crash"]), st.integers(0, 2 * HOUR))
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("pause"), PAUSES),
        st.tuples(st.just("jump"), st.one_of(st.integers(-60, 60), st.integers(-DAY * 40, DAY))),
        st.tuples(st.just("interval"), INTERVALS),
        st.tuples(st.just("handoff"), st.none()),
        st.tuples(st.sampled_from(["poll", "wait", "wait"]), WORK),
    ),
    max_size=40,
)


class World:
    """Two containers on one storage, one of which acts; `elapsed` seconds are never set back."""

    def __init__(self, folder: Path, interval_s: int) -> None:
        self.storage, self.interval_s = Storage(folder), interval_s
        self.storage.run.mkdir()
        self.elapsed = self.offset = 0
        self.acting, self.other = self.container(), self.container()
        self.starts: list[int] = []
        self.successes: list[int] = []
        self.acting.begin(BACKUP, interval_s)

    def container(self) -> Schedule:
        return Schedule(self.storage, lambda: self.now + 0.5)

    @property
    def now(self) -> int:
        return NOW + self.elapsed + self.offset

    def do(self, name: str, argument: Any) -> None:
        if name == "interval":
            self.interval_s = argument
        elif name == "handoff":
            self.acting, self.other = self.other, self.container()
        else:
            getattr(self, name)(argument)
        self.check()

    def pause(self, seconds: int) -> None:
        self.elapsed += seconds

    def jump(self, seconds: int) -> None:
        self.offset += seconds
        if seconds < 0:
            # The same times come again: slots are compared within an epoch only.
            self.starts, self.successes = [], []

    def poll(self, work: tuple[str, int]) -> bool:
        """One look at the clock; returns whether the job was started."""
        if not self.acting.begin(BACKUP, self.interval_s):
            return False
        outcome, seconds = work
        self.starts.append(self.job.slot_at)
        assert not self.other.begin(BACKUP, self.interval_s), "only one starts it"
        self.pause(seconds)
        if outcome == "success":
            self.successes.append(self.job.slot_at)
            self.acting.succeeded(BACKUP)
            assert not self.other.begin(BACKUP, self.interval_s), "it is caught up once"
        elif outcome == "failure":
            self.acting.failed(BACKUP)
        return True

    def wait(self, work: tuple[str, int]) -> None:
        """Wait as long as it says, once more if it is planned anew: then it is started."""
        latest = self.elapsed + self.interval_s
        for _ in range(2):
            self.pause(self.acting.seconds_until(BACKUP, self.interval_s))
            assert self.elapsed <= latest
            if self.poll(work):
                return
        raise AssertionError("it was planned twice")

    @property
    def job(self) -> Job:
        job = self.other.job(BACKUP)
        assert job is not None
        return job

    def check(self) -> None:
        assert self.successes == sorted(set(self.successes)), "no slot succeeds twice"
        assert all(self.starts.count(slot) <= TRIES for slot in self.starts)
        job = schedule.adjusted(self.job, self.now, self.interval_s)
        longest = RETRY_S if 0 < job.tries < TRIES else self.interval_s
        assert schedule.seconds_until(job, self.now) <= min(longest, self.interval_s)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with the folder of its notes."""
    (tmp_path / "run").mkdir()
    return Storage(tmp_path)


@tries(300)
@given(INTERVALS, ACTIONS)
def test_nothing_is_doubled_and_nothing_is_lost_for_long(
    interval_s: int, actions: list[tuple[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
        world = World(Path(folder), interval_s)
        for name, argument in actions:
            world.do(name, argument)


@given(INTERVALS, st.lists(PAUSES, max_size=40))
def test_whatever_the_pauses_each_slot_that_came_is_run_once_by_the_next_look(
    interval_s: int, pauses: list[int]
) -> None:
    job, now, done = schedule.new_job(NOW, interval_s), NOW, 0
    for pause in pauses:
        now += pause
        came = (now - NOW) // interval_s
        assert schedule.is_due(job, now) == (came > done)
        if schedule.is_due(job, now):
            job, done = schedule.succeeded(schedule.started(job, now), now), came
        assert job.next_at == job.slot_at == NOW + (done + 1) * interval_s


def test_it_is_tried_three_times_and_then_in_the_next_slot() -> None:
    job, now, starts = schedule.new_job(NOW, DAY), NOW, []
    for _ in range(4):
        now = job.next_at
        starts.append(now - NOW)
        # A crash leaves what was written at the start, a failure no more than that.
        job = schedule.started(job, now)
        assert schedule.failed(job, now + 1) == job
    assert starts == [DAY, DAY + RETRY_S, DAY + 2 * RETRY_S, 2 * DAY]
    assert (job.slot_at, job.tries) == (NOW + 2 * DAY, 1)


def test_with_a_short_interval_retries_are_as_short_and_skip_what_the_work_took() -> None:
    job = schedule.started(schedule.new_job(NOW, 36), NOW + 36)
    assert job.next_at == NOW + 72
    given_up = schedule.failed(replace(job, tries=TRIES), NOW + 36 * 9 + 1)
    assert given_up.next_at == NOW + 36 * 10


@pytest.mark.parametrize("interval_s", [HOUR, 12 * HOUR, 7 * DAY])
def test_a_new_interval_counts_from_the_last_success(interval_s: int) -> None:
    started = schedule.started(schedule.new_job(NOW, DAY), NOW + DAY)
    job = schedule.succeeded(started, success := NOW + DAY + 60)
    changed = schedule.adjusted(job, NOW + DAY + 6 * HOUR, interval_s)
    assert changed.next_at == changed.slot_at == success + interval_s
    assert schedule.adjusted(changed, NOW + DAY + 6 * HOUR, DAY).next_at == success + DAY


def test_a_new_interval_does_not_put_off_a_retry() -> None:
    job = schedule.started(schedule.new_job(NOW, DAY), NOW + DAY)
    assert schedule.adjusted(job, NOW + DAY, 7 * DAY).next_at == job.next_at
    assert schedule.adjusted(job, NOW + DAY, 36).next_at == NOW + DAY + 36
    given_up = replace(job, tries=TRIES, next_at=NOW + 2 * DAY)
    assert schedule.adjusted(given_up, NOW + DAY, 7 * DAY).next_at == NOW + 2 * DAY
    assert schedule.adjusted(given_up, NOW + DAY, HOUR).next_at == NOW + DAY + HOUR


def test_a_clock_that_is_set_back_puts_nothing_off_for_more_than_an_interval() -> None:
    job, now = schedule.new_job(NOW, DAY), NOW - 1000 * DAY
    assert schedule.adjusted(job, now, DAY) == replace(job, next_at=now + DAY, slot_at=now + DAY)
    retry = schedule.started(job, NOW + DAY)
    assert schedule.adjusted(retry, now, DAY) == replace(retry, next_at=now + RETRY_S, slot_at=now)
    # It was set back during the work.
    assert schedule.succeeded(retry, now).next_at == now + DAY


def test_what_is_written_outlives_the_container_and_may_be_read_by_everyone(
    storage: Storage,
) -> None:
    assert not Schedule(storage, lambda: NOW).begin(BACKUP, HOUR)
    assert not Schedule(storage, lambda: NOW).begin(DRILL, DAY)
    next_one = Schedule(storage, lambda: NOW + HOUR)
    assert next_one.seconds_until(BACKUP, HOUR) == 0
    assert next_one.begin(BACKUP, HOUR)
    assert next_one.seconds_until(BACKUP, HOUR) == RETRY_S
    assert next_one.seconds_until(DRILL, DAY) == DAY - HOUR
    assert stat.S_IMODE(storage.backup_schedule.stat().st_mode) == 0o644
    document = json.loads(storage.backup_schedule.read_text())
    assert (document["format"], set(document["jobs"])) == (1, {BACKUP, DRILL})


def test_whoever_waits_looks_at_once_when_there_is_something_to_plan(storage: Storage) -> None:
    assert Schedule(storage, lambda: NOW).seconds_until(BACKUP, DAY) == 0
    Schedule(storage, lambda: NOW).begin(BACKUP, DAY)
    earlier = Schedule(storage, lambda: NOW - DAY)
    assert (earlier.seconds_until(BACKUP, DAY), earlier.seconds_until(BACKUP, HOUR)) == (0, 0)
    assert not earlier.begin(BACKUP, HOUR)
    assert earlier.seconds_until(BACKUP, HOUR) == HOUR


GOOD = {"next_at": NOW, "slot_at": NOW, "interval_s": HOUR, "tries": 0, "last_at": 0}
WRONG: list[dict[str, float]] = [{"tries": 4}, {"tries": True}, {"interval_s": 0}]
WRONG += [{"next_at": 1.5}, {"next_at": 10**30}, {"slot_at": -1}]


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "\0\0", '{"format": 1}', '{"format": 1, "jobs": 5}', "[" * 100_000]
    + [json.dumps({"format": 2, "jobs": {BACKUP: GOOD}})]
    + [json.dumps({"format": 1, "jobs": {BACKUP: {**GOOD, **wrong}}}) for wrong in WRONG],
)
def test_what_cannot_be_read_starts_anew_and_says_so(
    damage: str, storage: Storage, capfd: pytest.CaptureFixture[str]
) -> None:
    storage.backup_schedule.write_text(damage)
    one = Schedule(storage, lambda: NOW)
    assert (one.job(BACKUP), one.seconds_until(BACKUP, HOUR)) == (None, 0)
    one.succeeded(BACKUP)
    assert not one.begin(BACKUP, HOUR)
    assert one.job(BACKUP) == schedule.new_job(NOW, HOUR)
    (line,) = capfd.readouterr().out.splitlines()
    assert "starts anew" in line


def test_nothing_is_begun_that_cannot_be_written_down(storage: Storage) -> None:
    one = Schedule(storage, lambda: NOW)
    with (
        mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")),
        pytest.raises(BackupError, match="cannot be written: No space left"),
    ):
        one.begin(BACKUP, HOUR)
    assert one.job(BACKUP) is None
    assert list(storage.run.iterdir()) == []
