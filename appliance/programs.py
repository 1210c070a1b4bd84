"""What supervisord starts: `python -m appliance.programs postgres|steward|api`.

Each imports only what it needs: memory is counted in megabytes here.
"""

import sys
from collections.abc import Callable

from appliance import identities, settings
from appliance.errors import ApplianceError
from appliance.log import write_block
from appliance.process import adopt_log_descriptor
from appliance.resources import detect
from appliance.settings import Settings
from appliance.storage import Storage

_INTERRUPTED = 130


def main(name: str, phase: str = "start") -> int:
    """Run one program; returns only when it ends, with its exit code."""
    adopt_log_descriptor()
    try:
        _PROGRAMS[name](settings.load().settings, phase)
    except ApplianceError as error:
        write_block(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        # A standby that is stopped: Postgres' stop signal reaches it before it is Postgres.
        return _INTERRUPTED
    return 0


def _postgres(configured: Settings, _phase: str) -> None:
    from appliance.postgres import binaries, server

    settings.set_variable("LD_LIBRARY_PATH", str(binaries.libraries()))
    server.serve(
        Storage(configured.storage_dir),
        identities.detect(),
        detect(configured.num_cpus),
        configured.appliance_instance or "",
        locks_exclude=not configured.allow_broken_flock,
    )


def _steward(configured: Settings, phase: str) -> None:
    from appliance import steward

    if phase == "idle":
        steward.idle()
    if phase == "prune":
        steward.prune(configured)
    steward.start(configured, identities.detect().database)


def _api(configured: Settings, _phase: str) -> None:
    from appliance.api import program

    api = identities.detect().api
    program.run(configured, Storage(configured.storage_dir), api, supervised=True)


_PROGRAMS: dict[str, Callable[[Settings, str], None]] = {
    "postgres": _postgres,
    "steward": _steward,
    "api": _api,
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
