"""What is started by supervisord and the steward: `python -m appliance.programs NAME …`.

Each imports only what it needs: memory is counted in megabytes here.
"""

import sys
from collections.abc import Callable

from appliance import identities, settings
from appliance.errors import ApplianceError
from appliance.log import write_block, write_line
from appliance.process import adopt_log_descriptor, end_with_parent
from appliance.resources import detect
from appliance.settings import Settings
from appliance.storage import Storage

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
    from appliance.postgres.instances import Folder

    instance = configured.appliance_instance
    if not instance or configured.allow_broken_flock:
        return False
    folder = Folder(Storage(configured.storage_dir), instance)
    # Whoever removes the notes does not end the service.
    return folder.path.exists() and not folder.is_alive()


def _postgres(configured: Settings) -> None:
    from appliance.handoff import taking
    from appliance.postgres import binaries, ownership, server
    from appliance.postgres.instances import Folder

    settings.set_variable("LD_LIBRARY_PATH", str(binaries.libraries()))
    storage, users = Storage(configured.storage_dir), identities.detect()
    resources = detect(configured.num_cpus)
    instance, locks_exclude = configured.appliance_instance or "", not configured.allow_broken_flock
    descriptor = ownership.open_lock(storage, users.database.uid, users.database.gid)
    taken = taking.take(descriptor, storage, instance, locks_exclude=locks_exclude)
    server.start(
        storage,
        users,
        resources,
        descriptor,
        locks_exclude=locks_exclude,
        when_prepared=lambda: taken.report(Folder(storage, instance)),
    )


def _steward(configured: Settings, phase: str = "start", *arguments: str) -> None:
    from appliance import steward

    steward.run(configured, identities.detect(), phase, *arguments)


def _api(configured: Settings) -> None:
    from appliance.api import program

    api = identities.detect().api
    program.run(configured, Storage(configured.storage_dir), api, supervised=True)


def _backups(configured: Settings, descriptor: str, request: str) -> None:
    import json
    import socket

    from appliance.backups import worker
    from appliance.handoff.channel import Channel

    # Nobody waits for what the schedule asks for.
    caller = Channel(socket.socket(fileno=int(descriptor))) if descriptor != "-" else None
    storage, users = Storage(configured.storage_dir), identities.detect()
    worker.run(configured, storage, users, caller, json.loads(request))


_PROGRAMS: dict[str, Callable[..., None]] = {
    "postgres": _postgres,
    "steward": _steward,
    "api": _api,
    "backups": _backups,
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
