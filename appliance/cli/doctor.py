"""What goes wrong in practice, looked at one by one, each with what to do about it."""

from dataclasses import asdict

import click

from appliance import doctor as checks
from appliance import settings as environment
from appliance.cli.main import print_json
from appliance.doctor import Finding
from appliance.errors import ExitCode

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def doctor(as_json: bool) -> int:
    """Check this machine and this storage. Exit code 1 if there is a problem.

    It changes nothing and may run beside a working appliance.
    """
    findings = checks.examine(environment.load())
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _print(finding)
        click.echo(_summary(problems))
    return ExitCode.FAILURE if problems else ExitCode.OK


def _print(finding: Finding) -> None:
    click.secho(f"{finding.state:8}", fg=_COLOURS[finding.state], nl=False)
    click.echo(f" {finding.check}: {finding.text}")
    if finding.hint:
        click.echo(f"         -> {finding.hint}")


def _summary(problems: int) -> str:
    if not problems:
        return "No problem found."
    return f"{problems} problem{'s' * (problems > 1)} found."
