"""What supervisord starts: `python -m appliance.programs postgres|steward|api`.

Each imports only what it needs: memory is counted in megabytes here.
"""

import sys

from appliance import identities, settings
from appliance.errors import ApplianceError
from appliance.log import write_line
from appliance.process import adopt_log_descriptor
from appliance.resources import detect
from appliance.settings import Settings
from appliance.storage import Storage


def main(name: str) -> int:
    """Run one program; returns only when it ends, with its exit code."""
    adopt_log_descriptor()
    try:
        _PROGRAMS[name](settings.load().settings)
    except ApplianceError as error:
        write_line(name, str(error))
        return error.exit_code
    return 0


def _postgres(configured: Settings) -> None:
    from appliance.postgres import server

    server.serve(
        Storage(configured.storage_dir),
        identities.detect(),
        detect(configured.num_cpus),
        configured.appliance_instance or "",
        locks_exclude=not configured.allow_broken_flock,
    )


def _steward(configured: Settings) -> None:
    from appliance import steward

    steward.run(configured, Storage(configured.storage_dir), identities.detect().database)


def _api(configured: Settings) -> None:
    from appliance.api import program

    program.run(configured, Storage(configured.storage_dir), identities.detect().api)


_PROGRAMS = {"postgres": _postgres, "steward": _steward, "api": _api}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
