"""What supervisord and the agent start: `python -m appliance.supervision.entry_points NAME …`.

Each imports only what it needs: memory is counted in megabytes here.
"""

import sys
from collections.abc import Callable

from appliance import settings
from appliance.errors import ApplianceError
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import system_users
from appliance.system.limits import detect
from appliance.system.log import write_block, write_line
from appliance.system.process import adopt_log_descriptor, end_with_parent

_INTERRUPTED = 130
_ORPHANED = 1


def main(name: str, *arguments: str) -> int:
    """Run one program; returns only when it ends, with its exit code."""
    adopt_log_descriptor()
    try:
        configured = settings.load().settings
        end_with_parent()
        if _is_orphan(configured):
            write_line(name, "not started: its supervisor is gone")
            return _ORPHANED
        _PROGRAMS[name](configured, *arguments)
    except ApplianceError as error:
        write_block(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        # A standby that is stopped: Postgres' stop signal reaches it before it is Postgres.
        return _INTERRUPTED
    return 0


def _is_orphan(configured: Settings) -> bool:
    """Whether the supervisor died before the kernel was asked to end this program with it."""
    from appliance.storage.instances import InstanceDirectory

    instance = configured.appliance_instance
    if not instance or configured.allow_broken_flock:
        return False
    directory = InstanceDirectory(Storage(configured.storage_dir), instance)
    # Whoever removes the notes does not end the service.
    return directory.path.exists() and not directory.is_alive()


def _postgres(configured: Settings) -> None:
    from appliance.handoff import acquire
    from appliance.postgres import binaries, exec_postgres
    from appliance.storage import lock
    from appliance.storage.instances import InstanceDirectory

    settings.set_variable("LD_LIBRARY_PATH", str(binaries.libraries()))
    storage, users = Storage(configured.storage_dir), system_users.detect()
    resources = detect(configured.num_cpus)
    instance, locks_exclude = configured.appliance_instance or "", not configured.allow_broken_flock
    descriptor = lock.open_lock(storage, users.database.uid, users.database.gid)
    acquisition = acquire.acquire_lock(descriptor, storage, instance, locks_exclude=locks_exclude)
    exec_postgres.start(
        storage,
        users,
        resources,
        descriptor,
        locks_exclude=locks_exclude,
        when_prepared=lambda: acquisition.report(InstanceDirectory(storage, instance)),
    )


def _agent(configured: Settings, phase: str = "start", *arguments: str) -> None:
    from appliance.agent import agent

    agent.run(configured, system_users.detect(), phase, *arguments)


def _api(configured: Settings) -> None:
    from appliance.api import serve
    from appliance.apps import registry

    api, guest = system_users.detect().api, registry.load(configured.app)
    serve.run(configured, Storage(configured.storage_dir), api, guest, supervised=True)


def _backups(configured: Settings, descriptor: str, request: str) -> None:
    import json
    import socket

    from appliance.apps import registry
    from appliance.backups.jobs import backup_job
    from appliance.handoff.channel import Channel

    # Nobody waits for what the schedule asks for.
    caller = Channel(socket.socket(fileno=int(descriptor))) if descriptor != "-" else None
    storage, users = Storage(configured.storage_dir), system_users.detect()
    app = registry.load(configured.app)
    backup_job.run(configured, storage, users, app, caller, json.loads(request))


_PROGRAMS: dict[str, Callable[..., None]] = {
    "postgres": _postgres,
    "agent": _agent,
    "api": _api,
    "backups": _backups,
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
