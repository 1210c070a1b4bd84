"""A psql on the appliance's database."""

import click

from appliance.cli import context
from appliance.postgres import binaries, config
from appliance.system.process import exec_program

_ROLES = (config.OWNER_ROLE, config.API_ROLE, config.SUPERUSER)


# -h is psql's own.
@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    options_metavar="[--role ROLE]",
)
@click.option("--role", type=click.Choice(_ROLES), default=config.OWNER_ROLE, show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(role: str, arguments: tuple[str, ...]) -> None:
    """Open psql on the appliance's database. All other ARGUMENTS go to psql.

    The roles are appliance (owns the schema), app (what the API may do) and postgres (the
    superuser). For example: appliance psql --role app -c 'SELECT now()'
    """
    _, storage = context.load()
    with context.connected(storage, role):
        pass
    target = ["-h", str(storage.run), "-U", role, "-d", config.DATABASE]
    exec_program(binaries.program("psql"), [*target, *arguments])
