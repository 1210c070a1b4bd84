"""What supervisord starts, as `python -m appliance.supervision.entry_points NAME`, and the agent.

Each imports only what it needs: memory is counted in megabytes here.
"""

import gc
import os
import sys
from collections.abc import Callable
from functools import partial

from appliance import settings
from appliance.errors import ApplianceError, ExitCode
from appliance.handoff.channel import Channel
from appliance.handoff.messages import BackupRequest, Request, Taken
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.limits import detect
from appliance.system.log import show_debug, use_format, write_block, write_line
from appliance.system.process import adopt_log_descriptor, end_with_parent, errors_to_output

_INTERRUPTED = 130
_ORPHANED = 1


def main(name: str) -> int:
    """Run one program; returns only when it ends, with its exit code."""
    adopt_log_descriptor()
    return _guarded(name, _run, name)


def _guarded(name: str, action: Callable[..., int | None], *arguments: object) -> int:
    """Do it, and return the exit code; what goes wrong is in the log of program `name`."""
    try:
        return action(*arguments) or ExitCode.OK
    except ApplianceError as error:
        write_block(name, str(error))
        return error.exit_code
    except Exception:
        import traceback

        write_block(name, traceback.format_exc())
        return ExitCode.FAILURE
    except KeyboardInterrupt:
        # A standby that is stopped: Postgres' stop signal reaches it before it is Postgres.
        return _INTERRUPTED


def _run(name: str) -> int | None:
    use_format(settings.log_format())
    configured = settings.load().settings
    if configured.log_level == "debug":
        show_debug()
    if configured.log_format == "text":
        # It needs no other form, so it can go the short way.
        errors_to_output()
    end_with_parent()
    if configured.appliance_supervisor not in (None, os.getppid()):
        write_line(name, "not started: its supervisor is gone", level="error")
        return _ORPHANED
    return _PROGRAMS[name](configured)


def _postgres(configured: Settings) -> None:
    from appliance.handoff import acquire_lock
    from appliance.postgres import binaries, exec_postgres
    from appliance.storage import lock
    from appliance.storage.instances import InstanceDirectory
    from appliance.supervision.program_output import postgres_options

    settings.set_variable("LD_LIBRARY_PATH", str(binaries.libraries()))
    storage, users = Storage(configured.storage_dir), system_users.detect()
    resources = detect(configured.num_cpus)
    instance, locks_exclude = configured.appliance_instance or "", not configured.allow_broken_flock
    descriptor = lock.open_lock(storage, users.database.uid, users.database.gid)
    acquisition = acquire_lock.acquire_lock(
        descriptor, storage, instance, locks_exclude=locks_exclude
    )
    exec_postgres.start(
        storage,
        users,
        resources,
        descriptor,
        supervisor=configured.appliance_supervisor,
        locks_exclude=locks_exclude,
        when_prepared=lambda: acquisition.report(InstanceDirectory(storage, instance)),
        options=postgres_options(configured.log_format),
    )


def _agent(configured: Settings) -> int:
    from appliance.agent import agent

    tasks: dict[str, Callable[..., None]] = {
        agent.JOIN: _join,
        agent.HAND_OVER: _hand_over,
        agent.RECORD: _record,
        agent.PRUNE: _prune,
        agent.BACK_UP: _back_up,
    }
    guarded = {
        name: partial(_guarded, agent.PROGRAM, task, configured) for name, task in tasks.items()
    }
    return agent.run(configured, system_users.detect(), guarded)


def _api(configured: Settings) -> None:
    # What is loaded now stays: to look for garbage in it takes a tenth of the start. The collector
    # works again from the first fork on.
    gc.disable()
    from appliance.api import serve
    from appliance.apps import registry

    api, guest = system_users.detect().api, registry.load(configured.app)
    serve.run(configured, Storage(configured.storage_dir), api, guest, supervised=True)


def _join(configured: Settings, own_agent: Channel) -> None:
    # It ends soon, and the container is not healthy before.
    gc.disable()
    from appliance.agent import tasks

    tasks.join(configured, own_agent)


def _hand_over(configured: Settings, supervisor: int, caller: Channel, request: Request) -> None:
    from appliance.handoff import hand_over

    storage, instance = Storage(configured.storage_dir), configured.appliance_instance or ""
    hand_over.hand_over_database(storage, instance, supervisor, caller, request)


def _record(configured: Settings, taken: Taken) -> None:
    from appliance.agent import maintenance

    storage, instance = Storage(configured.storage_dir), configured.appliance_instance or ""
    maintenance.record(storage, instance, taken)


def _prune(configured: Settings) -> None:
    from appliance.agent import tasks

    tasks.prune(configured)


def _back_up(configured: Settings, caller: Channel | None, request: BackupRequest) -> None:
    from appliance.apps import registry
    from appliance.backups.jobs import backup_job

    storage, users = Storage(configured.storage_dir), system_users.detect()
    app = registry.load(configured.app)
    backup_job.run(configured, storage, users, app, caller, request)


_PROGRAMS: dict[str, Callable[[Settings], int | None]] = {
    "postgres": _postgres,
    "agent": _agent,
    "api": _api,
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
