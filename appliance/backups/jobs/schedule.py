"""When a scheduled job is due: pure decisions, and the little that is remembered of each job.

A job runs in slots that lie one interval apart, the first of them one interval after the schedule
was first seen. A slot whose time has passed is run once, however many intervals were missed. Each
start writes the next one down before any work, so whoever dies loses nothing: from a start to the
next one no more than one interval passes while the machine is on, and no more than RETRY_S as long
as the slot has tries left.

The agent holds this module for as long as it lives: keep its imports few.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from appliance.backups.backup_errors import BackupError
from appliance.storage.paths import Storage
from appliance.system import notes
from appliance.system.log import write_line

BACKUP, DRILL = "backup", "drill"
RETRY_S = 15 * 60
TRIES = 3

_PROGRAM = "agent"
_END_OF_TIME = 253_402_300_799


@dataclass(frozen=True)
class Job:
    """What is remembered of a job. Times are whole seconds since 1970 in UTC.

    `next_at` is when it starts next, for the slot `slot_at`, or for a new one after so many
    `tries` as a slot gets. `last_at` is when it last succeeded, or else was first seen.
    """

    next_at: int
    slot_at: int
    interval_s: int
    tries: int
    last_at: int

    def __post_init__(self) -> None:
        """Raises ValueError for what no clock says."""
        possible = all(0 <= number <= _END_OF_TIME for number in asdict(self).values())
        if not possible or self.interval_s <= 0 or self.tries > TRIES:
            raise ValueError(self)


def interval(hours: float) -> int:
    """An interval in seconds.

    >>> interval(0.01)
    36
    """
    return max(1, round(hours * 3600))


def new_job(now: int, interval_s: int) -> Job:
    """A job that nobody has seen before."""
    return Job(now + interval_s, now + interval_s, interval_s, 0, now)


def adjusted(job: Job, now: int, interval_s: int) -> Job:
    """The job by this clock and with this interval, which may both have changed.

    A new interval counts from the last success; after a failure it may only hasten the next try.
    If the clock was set back, the job waits for no more than one interval (a retry: RETRY_S), and
    slots count from there.
    """
    if job.interval_s != interval_s:
        job = replace(job, interval_s=interval_s)
        if job.tries == 0:
            job = _waiting(job, job.last_at + interval_s)
    latest = now + (_retry_s(job) if 0 < job.tries < TRIES else interval_s)
    if job.next_at <= latest:
        return job
    if job.tries == 0:
        return _waiting(job, latest)
    return replace(job, next_at=latest, slot_at=min(job.slot_at, now))


def is_due(job: Job, now: int) -> bool:
    """Whether it shall start."""
    return now >= job.next_at


def seconds_until(job: Job, now: int) -> int:
    """Seconds until it shall start, 0 if that is now."""
    return max(0, job.next_at - now)


def started(job: Job, now: int) -> Job:
    """What to write down before the work begins: the next try, after the last one the next slot."""
    if job.tries >= TRIES:
        job = _waiting(job, job.next_at)
    tries = job.tries + 1
    next_at = now + _retry_s(job) if tries < TRIES else _slot_after(job, now)
    return replace(job, next_at=next_at, tries=tries)


def succeeded(job: Job, now: int) -> Job:
    """The slot is done; the next one lies after now."""
    return replace(_waiting(job, _slot_after(job, now)), last_at=now)


def failed(job: Job, now: int) -> Job:
    """The retry stays as it is; after the last one the slot is given up for the next."""
    return job if job.tries < TRIES else replace(job, next_at=_slot_after(job, now))


def covers(job: Job, made_at: float, now: float) -> bool:
    """Whether a backup of that time is what an earlier try for the job's slot has made.

    One that is an interval old would not do for the slot any more.
    """
    return job.tries > 1 and job.slot_at <= made_at and now - made_at < job.interval_s


class Schedule:
    """The jobs of a storage, by name. Whichever container acts goes on where another left off.

    Call `begin`, `succeeded` and `failed` only while holding the lock on storage.schedule_lock,
    and hold it from the one to the other: they write what they have read.
    """

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        self._path = storage.backup_schedule
        self._clock = clock

    def seconds_until(self, name: str, interval_s: int) -> int:
        """Seconds until `begin` has something to do: to start the job, or to plan it anew."""
        job, now = self.job(name), self._now()
        if job is None or adjusted(job, now, interval_s) != job:
            return 0
        return seconds_until(job, now)

    def begin(self, name: str, interval_s: int) -> bool:
        """Whether the job is due; if so it counts as started, and may be begun.

        Raises BackupError if that cannot be written down: then the job must not run.
        """
        jobs, now = self._read(say=True), self._now()
        known = jobs.get(name)
        job = adjusted(known, now, interval_s) if known else new_job(now, interval_s)
        due = is_due(job, now)
        job = started(job, now) if due else job
        if job != known:
            self._write({**jobs, name: job})
        return due

    def succeeded(self, name: str) -> None:
        """The job that was begun is done. Raises BackupError if that cannot be written down."""
        self._end(name, succeeded)

    def failed(self, name: str) -> None:
        """The job that was begun has failed. Raises BackupError if it cannot be written down."""
        self._end(name, failed)

    def job(self, name: str) -> Job | None:
        """What is remembered of a job, None if nothing is."""
        return self._read().get(name)

    def _end(self, name: str, outcome: Callable[[Job, int], Job]) -> None:
        jobs = self._read()
        # Gone, if somebody has removed the file meanwhile: the next `begin` starts anew.
        if name in jobs:
            self._write({**jobs, name: outcome(jobs[name], self._now())})

    def _now(self) -> int:
        return int(self._clock())

    def _read(self, *, say: bool = False) -> dict[str, Job]:
        entries = notes.read(self._path).get("jobs")
        entries = entries if isinstance(entries, dict) else {}
        parsed = {name: notes.parse_or_none(Job, entry) for name, entry in entries.items()}
        jobs = {name: job for name, job in parsed.items() if job}
        if say and len(jobs) < max(1, len(entries)) and self._path.exists():
            write_line(_PROGRAM, f"{self._path} cannot be read: what it told starts anew")
        return jobs

    def _write(self, jobs: dict[str, Job]) -> None:
        entries = {name: asdict(job) for name, job in jobs.items()}
        try:
            notes.write(self._path, {"jobs": entries})
        except OSError as error:
            raise BackupError(
                f"The schedule {self._path} cannot be written: {error.strerror}.",
                "Make room on the disk, or give this user write access to its folder.",
            ) from error


def _waiting(job: Job, slot_at: int) -> Job:
    return replace(job, next_at=slot_at, slot_at=slot_at, tries=0)


def _retry_s(job: Job) -> int:
    return min(RETRY_S, job.interval_s)


def _slot_after(job: Job, now: int) -> int:
    # The clock may have been set back during the work.
    if job.slot_at > now:
        return now + job.interval_s
    return job.slot_at + ((now - job.slot_at) // job.interval_s + 1) * job.interval_s
