"""The first lines that run, before anything large is imported."""

import sys

from appliance.system import stop_signals


def main() -> int:
    """Run the command that the arguments name; return its exit code."""
    if sys.argv[1:2] == ["up"]:
        stop_signals.hold()

    from appliance.cli.main import main as run_command

    return run_command()
