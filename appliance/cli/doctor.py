"""What goes wrong in practice, looked at one by one, each with what to do about it."""

import click

from appliance import doctor as checks
from appliance import settings as environment
from appliance.cli.main import print_json
from appliance.errors import ExitCode
from appliance.storage import Storage

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def doctor(as_json: bool) -> int:
    """Check this machine and this storage. Exit code 1 if there is a problem.

    It changes nothing and may run beside a working appliance.
    """
    settings = environment.load().settings
    findings = checks.examine(settings, Storage(settings.storage_dir))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            click.secho(f"{finding.state:8}", fg=_COLOURS[finding.state], nl=False)
            click.echo(f" {finding.check}: {finding.text}")
            if finding.hint:
                click.echo(f"         -> {finding.hint}")
    bad = any(finding.state == "problem" for finding in findings)
    return ExitCode.FAILURE if bad else ExitCode.OK
