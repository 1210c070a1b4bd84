"""The entry point: finds the command, and turns errors into words and exit codes."""

import importlib
import json
import signal
import sys
from datetime import date
from types import FrameType
from typing import Any

import click

from appliance import __version__
from appliance.errors import ApplianceError, ExitCode

# Loaded when they are called: `appliance up` must not carry what it does not run.
_COMMANDS = {
    "up": "run",
    "api": "run",
    "migrate": "run",
    "status": "status",
    "doctor": "doctor",
    "env": "env",
    "gen-secret": "env",
    "psql": "psql",
    "keys": "keys",
    "backup": "backup",
    "hook": "hook",
}

_EPILOG = """
\b
Exit codes:
  0  all is well
  1  something failed
  2  the command was called wrongly
  3  a setting in the environment cannot be used
  4  the storage or the cluster in it cannot be used
  5  a migration failed, or the schema is behind
  6  the database cannot be reached
  130, 143  broken off, by Ctrl-C or SIGTERM
"""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's own
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"appliance.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="appliance %(version)s")
def cli() -> None:
    """Run a web application and its Postgres 16 together.

    Settings come from the environment: see `appliance env`.
    """


class _Terminated(KeyboardInterrupt):
    """SIGTERM ends a command as Ctrl-C does: what it has begun is cleared up."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; 128 and the signal if one broke it off."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(arguments, prog_name="appliance", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except click.Abort as abort:
        notes = getattr(abort.__cause__, "__notes__", [])
        click.echo(" ".join(["appliance: broken off.", *notes]), err=True)
        return _exit_code(abort.__cause__)
    except ApplianceError as error:
        click.echo(f"appliance: {error.message}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it ends.
        sys.stdout = None
        return ExitCode.FAILURE
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"appliance: {error.strerror or error}{where}.", err=True)
        click.echo("  Run it as root, or as the user that the appliance runs as.", err=True)
        return ExitCode.STORAGE if error.filename else ExitCode.FAILURE
    return int(result or 0)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    # Whoever sends it twice, as timeout(1) does, must not break off the clearing up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated


def _exit_code(cause: BaseException | None) -> int:
    if isinstance(cause, _Terminated):
        return 128 + signal.SIGTERM
    return 128 + signal.SIGINT if isinstance(cause, KeyboardInterrupt) else ExitCode.FAILURE


def print_json(document: Any) -> None:
    """Print a document for programs; times are ISO 8601."""
    click.echo(json.dumps(document, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


if __name__ == "__main__":
    sys.exit(main())
