"""The first lines that run, before anything large is imported."""

import sys

from appliance.system import stop_signals


def main() -> int:
    """Run the command that the arguments name; return its exit code."""
    if next((word for word in sys.argv[1:] if not word.startswith("-")), "") == "up":
        stop_signals.hold()

    from appliance.cli.main import main as run_command

    return run_command()
