"""The program that the steward starts for one piece of work on backups."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import Any

from appliance.backups import desk, endings, requests
from appliance.backups.catalog import Listed
from appliance.backups.descriptions import describe, describe_fully, describe_pruned
from appliance.backups.errors import BackupError, BadRequestError
from appliance.backups.operations import Backups
from appliance.backups.progress import Step
from appliance.backups.retention import is_generated
from appliance.backups.schedule import BACKUP, DRILL, Job, Schedule, covers, interval
from appliance.errors import ApplianceError
from appliance.handoff.channel import Channel
from appliance.identities import Identities
from appliance.log import write_line
from appliance.postgres import ownership
from appliance.settings import Settings
from appliance.storage import Storage
from appliance.words import extent

PROGRAM = "backup"
SCHEDULE = "schedule"
ENDING = "ending"

_TELL_EVERY_S = 0.5


def run(
    settings: Settings,
    storage: Storage,
    users: Identities,
    caller: Channel | None,
    request: dict[str, Any],
) -> None:
    """Do what was asked, and say what came of it to `caller` and in the log."""
    actor = str(request["actor"])
    teller = _Teller(caller)
    try:
        with _kept(storage, request):
            backups = desk.backups(settings, storage, users, actor=actor, report=teller.tell)
            result = _act(backups, settings, storage, request)
    except (ApplianceError, OSError) as failure:
        error = failure if isinstance(failure, ApplianceError) else BackupError(str(failure))
        write_line(PROGRAM, f"{request['action']} for {actor} failed: {error}")
        if caller is not None:
            requests.answer_failure(caller, error)
    else:
        if caller is not None:
            caller.reply("done", result=result)


def _kept(storage: Storage, request: dict[str, Any]) -> AbstractContextManager[None]:
    work_id = request.get("id")
    return nullcontext() if work_id is None else endings.keeping(storage, str(work_id))


class _Teller:
    def __init__(self, caller: Channel | None) -> None:
        self._caller = caller
        self._told_at = 0.0

    def tell(self, step: Step) -> None:
        if self._caller is not None and time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._caller.reply("progress", step=asdict(step))


def _act(backups: Backups, settings: Settings, storage: Storage, request: dict[str, Any]) -> Any:
    action, arguments = str(request["action"]), dict(request.get("arguments") or {})
    if action == SCHEDULE:
        return _run_schedule(backups, settings, storage)
    if action == ENDING:
        ending = endings.read(storage, str(arguments["id"]))
        return {**arguments, **asdict(ending)} if ending else None
    if action not in _ACTIONS:
        raise BadRequestError(f"There is no action {action!r}.")
    result = _ACTIONS[action](backups, arguments)
    if action not in _QUIET:
        about = arguments.get("name") or result.get("name") or ""
        done = filter(None, (action, about, f"for {request['actor']}: done"))
        write_line(PROGRAM, " ".join(done))
    return result


def _restore(backups: Backups, arguments: dict[str, Any]) -> dict[str, Any]:
    name = str(arguments["name"])
    manifest = backups.restore(name, force=arguments.get("force") is True)
    return {"name": name, "restored": True, "created_at": manifest.created_at}


def _list(backups: Backups) -> dict[str, Any]:
    items = [describe(one) for one in backups.catalog.all()]
    return {"items": items, "away": [str(error) for error in backups.catalog.away]}


def _delete(backups: Backups, arguments: dict[str, Any]) -> dict[str, Any]:
    name = str(arguments["name"])
    return {"name": name, "bytes_freed": backups.delete(name)}


_ACTIONS: dict[str, Callable[[Backups, dict[str, Any]], Any]] = {
    "create": lambda backups, given: describe_fully(backups.create(given.get("name"))),
    "list": lambda backups, _: _list(backups),
    "show": lambda backups, given: describe_fully(backups.catalog.find(str(given["name"]))),
    "verify": lambda backups, given: asdict(backups.verify(str(given["name"]))),
    "restore": _restore,
    "delete": _delete,
    "prune": lambda backups, given: describe_pruned(backups.prune(int(given["keep"]))),
}
_QUIET = frozenset({"list", "show"})


def _run_schedule(backups: Backups, settings: Settings, storage: Storage) -> None:
    """Do what is due, unless another container is at it."""
    schedule = Schedule(storage)
    jobs = (
        (BACKUP, settings.backup_schedule, lambda job: _back_up(backups, settings, job)),
        (DRILL, settings.backup_drill, lambda _: _drill(backups)),
    )
    with ownership.holding(storage.schedule_lock) as ours:
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


def _back_up(backups: Backups, settings: Settings, job: Job | None) -> str:
    begun = _begun(backups, job) if job else None
    made = backups.complete(begun.name) if begun else backups.create()
    verb = "completed" if begun else "made"
    said = f"{verb} the scheduled backup {made.name}, kept in {', '.join(made.destinations)}"
    try:
        pruned = backups.prune(settings.backup_retention, made)
    except ApplianceError as error:
        # The backup is made, and the next run removes what is too much.
        return f"{said}; older ones could not be removed: {error}"
    return f"{said}; removed {', '.join(pruned.deleted_names)}" if pruned.deleted_names else said


def _begun(backups: Backups, job: Job) -> Listed | None:
    """The backup that an earlier try has made, if it only has to get to where it could not."""
    for one in backups.own():
        if one.created_at and is_generated(one.name):
            made_at = datetime.fromisoformat(one.created_at).timestamp()
            return one if covers(job, made_at, time.time()) else None
    return None


def _drill(backups: Backups) -> str:
    # After a restore by the hook there is none of this cluster yet.
    newest = next(iter(backups.own() or backups.catalog.all()), None)
    if newest is None:
        return "there is no backup yet to prove"
    proof = backups.verify(newest.name, DRILL)
    return f"proved that {proof.name} restores: {extent(proof.tables, proof.rows)}"
