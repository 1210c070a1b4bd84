"""A psql on the appliance's database."""

import click

from appliance.cli import context
from appliance.postgres import binaries, config
from appliance.process import become


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.option("--role", default=config.OWNER_ROLE, show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(role: str, arguments: tuple[str, ...]) -> None:
    """Open psql on the appliance's database; further ARGUMENTS go to psql.

    --role is appliance (the owner), app (what the API may do) or postgres (the superuser).
    """
    _, storage = context.load()
    context.open_connection(storage, role).close()
    target = ["-h", str(storage.run), "-U", role, "-d", config.DATABASE]
    become(binaries.program("psql"), [*target, *arguments])
