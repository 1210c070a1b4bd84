"""The environment contract, for people."""

import click

from appliance import settings as environment
from appliance.cli.main import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
@click.option("--example", is_flag=True, help="Print the text of .env.example.")
def env(as_json: bool, example: bool) -> None:
    """Show every setting, with its rule and default."""
    if example:
        click.echo(environment.example(), nl=False)
    elif as_json:
        print_json(environment.table())
    else:
        for row in environment.table():
            click.secho(row["name"], bold=True, nl=False)
            click.echo(f"  [{row['tag']}]")
            click.echo(f"    {row['help']}")
            click.echo(f"    Must be {row['rule']}.")
        click.echo("\nNAME_FILE may name a file that holds the value of NAME.")


@click.command(name="gen-secret")
def gen_secret() -> None:
    """Print a new secret: 32 random bytes, base64."""
    click.echo(environment.generate_secret())
