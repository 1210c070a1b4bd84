"""API keys: make them, see them, revoke them."""

from dataclasses import asdict

import click

from appliance.cli import context
from appliance.cli.main import print_json
from appliance.postgres import config
from appliance.web import api_keys as store


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="It may make, restore and remove backups, too.")
def create(name: str, admin: bool) -> None:
    """Make a key called NAME and print it once, alone on the last line."""
    _, storage = context.load()
    with context.connected(storage, config.OWNER_ROLE) as connection:
        key = store.create(connection, name, admin=admin)
    click.echo("Keep this key; it is not shown again.", err=True)
    click.echo(key)


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def list_(as_json: bool) -> None:
    """List the keys: public part, when it was made, whether it is live, its right, name."""
    _, storage = context.load()
    with context.connected(storage, config.OWNER_ROLE) as connection:
        found = store.list_keys(connection)
    if as_json:
        print_json([asdict(key) for key in found])
        return
    for key in found:
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "live"
        right = "admin" if key.admin else ""
        made = f"{key.created_at:%Y-%m-%d %H:%M}"
        click.echo(f"{key.public_id}  {made}  {state:24}  {right:5}  {key.name}")
    if not found:
        click.echo("There are no keys. Make one: appliance keys create NAME")


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the live key called NAME (or with that public part) at once."""
    _, storage = context.load()
    with context.connected(storage, config.OWNER_ROLE) as connection:
        key = store.revoke(connection, name)
    click.echo(f"Revoked {key.public_id} ({key.name}).")
