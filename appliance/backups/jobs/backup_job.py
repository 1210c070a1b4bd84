"""The agent's task for one job on backups."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import Any

from appliance.apps.contract import App
from appliance.backups.backup_errors import BackupError, BadRequestError
from appliance.backups.descriptions import describe, describe_fully, describe_pruned
from appliance.backups.format.backup_name import BackupName
from appliance.backups.jobs import job_requests, job_results
from appliance.backups.jobs.schedule import BACKUP, DRILL, Job, Schedule, covers, interval
from appliance.backups.service import BackupService, build_service
from appliance.errors import ApplianceError
from appliance.handoff.channel import Channel
from appliance.handoff.messages import BackupRequest, JobDone, JobProgress
from appliance.settings import Settings
from appliance.storage import lock
from appliance.storage.paths import Storage
from appliance.system.log import write_line
from appliance.system.progress import Step
from appliance.system.system_users import SystemUsers
from appliance.system.text import extent

PROGRAM = "backup"
SCHEDULE = "schedule"
RESULT = "ending"

_REPORT_EVERY_S = 0.5


def run(
    settings: Settings,
    storage: Storage,
    users: SystemUsers,
    app: App,
    caller: Channel | None,
    request: BackupRequest,
) -> None:
    """Do what was asked, and say what came of it to `caller` and in the log."""
    reporter = _ProgressReporter(caller)
    try:
        with _recording(storage, request):
            service = build_service(
                settings, storage, users, app, actor=request.actor, report=reporter.report
            )
            result = _act(service, settings, storage, request)
    except (ApplianceError, OSError) as failure:
        error = failure if isinstance(failure, ApplianceError) else BackupError(str(failure))
        write_line(PROGRAM, f"{request.action} for {request.actor} failed: {error}")
        if caller is not None:
            job_requests.answer_failure(caller, error)
    else:
        if caller is not None:
            caller.reply(JobDone(result))


def _recording(storage: Storage, request: BackupRequest) -> AbstractContextManager[None]:
    return nullcontext() if request.id is None else job_results.recording(storage, request.id)


class _ProgressReporter:
    def __init__(self, caller: Channel | None) -> None:
        self._caller = caller
        self._reported_at = 0.0

    def report(self, step: Step) -> None:
        if self._caller is not None and time.monotonic() - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            self._caller.reply(JobProgress(asdict(step)))


def _act(
    service: BackupService, settings: Settings, storage: Storage, request: BackupRequest
) -> Any:
    action, arguments = request.action, request.arguments
    if action == SCHEDULE:
        return _run_schedule(service, settings, storage)
    if action == RESULT:
        job_result = job_results.read(storage, str(arguments["id"]))
        return {**arguments, **asdict(job_result)} if job_result else None
    if action not in _ACTIONS:
        raise BadRequestError(f"There is no action {action!r}.")
    result = _ACTIONS[action](service, arguments)
    if action not in _QUIET:
        about = arguments.get("name") or result.get("name") or ""
        done = filter(None, (action, about, f"for {request.actor}: done"))
        write_line(PROGRAM, " ".join(done))
    return result


def _name(arguments: dict[str, Any]) -> BackupName:
    return BackupName(str(arguments["name"]))


def _restore(service: BackupService, arguments: dict[str, Any]) -> dict[str, Any]:
    name = _name(arguments)
    manifest = service.restore(name, force=arguments.get("force") is True)
    return {"name": name, "restored": True, "created_at": manifest.created_at}


def _list(service: BackupService) -> dict[str, Any]:
    items = [describe(one, service.app) for one in service.catalog.all()]
    return {"items": items, "away": [str(error) for error in service.catalog.unreachable]}


def _create(service: BackupService, arguments: dict[str, Any]) -> dict[str, Any]:
    name = None if arguments.get("name") is None else _name(arguments)
    return describe_fully(service.create(name), service.app)


def _show(service: BackupService, arguments: dict[str, Any]) -> dict[str, Any]:
    return describe_fully(service.catalog.find(_name(arguments)), service.app)


def _delete(service: BackupService, arguments: dict[str, Any]) -> dict[str, Any]:
    name = _name(arguments)
    return {"name": name, "bytes_freed": service.delete(name)}


_ACTIONS: dict[str, Callable[[BackupService, dict[str, Any]], Any]] = {
    "create": _create,
    "list": lambda service, _: _list(service),
    "show": _show,
    "verify": lambda service, given: asdict(service.verify(_name(given))),
    "restore": _restore,
    "delete": _delete,
    "prune": lambda service, given: describe_pruned(service.prune(int(given["keep"]))),
}
_QUIET = frozenset({"list", "show"})


def _run_schedule(service: BackupService, settings: Settings, storage: Storage) -> None:
    """Do what is due, unless another container is at it."""
    schedule = Schedule(storage)
    jobs = (
        (BACKUP, settings.backup_schedule, lambda job: _back_up(service, settings, job)),
        (DRILL, settings.backup_drill, lambda _: _drill(service)),
    )
    with lock.holding(storage.schedule_lock) as ours:
        for name, hours, work in jobs:
            if ours and hours is not None and schedule.begin(name, interval(hours)):
                _do(schedule, name, work)


def _do(schedule: Schedule, name: str, work: Callable[[Job | None], str]) -> None:
    try:
        said = work(schedule.job(name))
    except ApplianceError as error:
        write_line(PROGRAM, f"the scheduled {name} failed: {error}")
        schedule.failed(name)
    else:
        write_line(PROGRAM, said)
        schedule.succeeded(name)


def _back_up(service: BackupService, settings: Settings, job: Job | None) -> str:
    unfinished = _unfinished(service, job) if job else None
    entry = service.complete(unfinished) if unfinished else service.create()
    verb = "completed" if unfinished else "made"
    said = f"{verb} the scheduled backup {entry.name}, kept in {', '.join(entry.destinations)}"
    try:
        pruned = service.prune(settings.backup_retention, entry)
    except ApplianceError as error:
        # The backup is made, and the next run removes what is too much.
        return f"{said}; older ones could not be removed: {error}"
    return f"{said}; removed {', '.join(pruned.deleted_names)}" if pruned.deleted_names else said


def _unfinished(service: BackupService, job: Job) -> BackupName | None:
    """The backup that an earlier try has made, if it only has to get to where it could not."""
    for one in service.of_this_cluster():
        if one.created_at and one.name.is_generated:
            made_at = datetime.fromisoformat(one.created_at).timestamp()
            return one.name if covers(job, made_at, time.time()) else None
    return None


def _drill(service: BackupService) -> str:
    # After a restore by the hook there is none of this cluster yet.
    newest = next(iter(service.of_this_cluster() or service.catalog.all()), None)
    if newest is None:
        return "there is no backup yet to verify"
    done = service.verify(newest.name, DRILL)
    return f"verified that {done.name} restores: {extent(done.tables, done.rows)}"
