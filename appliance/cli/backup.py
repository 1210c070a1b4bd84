"""Backups by hand: make, see, prove, restore, remove."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from appliance.backups import descriptions
from appliance.backups.operations import Backups
from appliance.cli import context
from appliance.cli.main import print_json
from appliance.cli.progress import Line, size

_json = click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
_dir = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Use this folder only, whatever the settings say.",
)
_identity = click.option(
    "--identity",
    "identities",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with an age key that opens it. May be given several times.",
)


@click.group()
def backup() -> None:
    """Make, list, verify, restore and remove backups."""


@backup.command()
@click.option("--name", help="Call it so. By default it is named after the time.")
@click.option("--to", multiple=True, help="Keep it in this destination only. Repeatable.")
@_dir
@_json
def create(name: str | None, to: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Back up all databases and roles, while everything runs."""
    with _desk(as_json, folder=folder, destinations=to) as desk:
        made = desk.create(name)
    if as_json:
        print_json(descriptions.describe_fully(made))
    else:
        weight = size(made.manifest.size if made.manifest else 0)
        click.echo(f"Made {made.name} ({weight}), kept in {', '.join(made.destinations)}.")


@backup.command(name="list")
@_dir
@_json
def list_(folder: Path | None, as_json: bool) -> None:
    """List the backups of all destinations, the newest first."""
    with _desk(as_json, folder=folder) as desk:
        found = [descriptions.describe(one) for one in desk.catalog.all()]
        for away in desk.catalog.away:
            click.echo(f"appliance: {away}", err=True)
    if as_json:
        print_json(found)
        return
    for one in found:
        click.echo(_row(one))
    if not found:
        click.echo("There are no backups. Make one: appliance backup create")


@backup.command()
@click.argument("name")
@_dir
@_json
def show(name: str, folder: Path | None, as_json: bool) -> None:
    """Show what is in a backup."""
    with _desk(as_json, folder=folder) as desk:
        found = descriptions.describe_fully(desk.catalog.find(name))
    if as_json:
        print_json(found)
    else:
        _print(found)


@backup.command()
@click.argument("name")
@_identity
@_dir
@_json
def verify(name: str, identities: tuple[Path, ...], folder: Path | None, as_json: bool) -> None:
    """Prove that a backup can be restored, in a throwaway cluster beside the live one."""
    with _desk(as_json, folder=folder, identities=identities) as desk:
        proof = desk.verify(name)
    if as_json:
        print_json(vars(proof))
    else:
        click.echo(
            f"{name} restores: {proof.tables} tables with {proof.rows} rows are as they were, and "
            f"the books balance ({proof.seconds:g} s)."
        )


@backup.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace the data that is there now.")
@_identity
@_dir
@_json
def restore(
    name: str, force: bool, identities: tuple[Path, ...], folder: Path | None, as_json: bool
) -> None:
    """Replace what the running appliance has by a backup; requests wait meanwhile."""
    with _desk(as_json, folder=folder, identities=identities) as desk:
        manifest = desk.restore(name, force=force)
    if as_json:
        print_json({"name": name, "restored": True, "created_at": manifest.created_at})
    else:
        click.echo(f"Restored {name}: everything is as it was at {manifest.created_at}.")


@backup.command()
@click.option("--keep", type=int, required=True, help="How many of the newest stay.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_dir
@_json
def prune(keep: int, yes: bool, folder: Path | None, as_json: bool) -> None:
    """Remove all backups but the newest."""
    with _desk(as_json, folder=folder) as desk:
        doomed = desk.to_prune(keep)
        if doomed and not yes:
            click.echo("These go: " + ", ".join(doomed), err=True)
            click.confirm("Remove them?", abort=True, err=True)
        done = descriptions.describe_pruned(desk.prune(keep))
    if as_json:
        print_json(done)
    else:
        freed = size(done["bytes_freed"])
        click.echo(f"Removed {done['deleted_count']} ({freed}), kept {done['retained_count']}.")


@backup.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_dir
@_json
def delete(name: str, yes: bool, folder: Path | None, as_json: bool) -> None:
    """Remove one backup from every destination."""
    with _desk(as_json, folder=folder) as desk:
        desk.catalog.find(name)
        if not yes:
            click.confirm(f"Remove {name}?", abort=True, err=True)
        freed = desk.delete(name)
    if as_json:
        print_json({"name": name, "bytes_freed": freed})
    else:
        click.echo(f"Removed {name} ({size(freed)}).")


@contextmanager
def _desk(as_json: bool, *, identities: tuple[Path, ...] = (), **options: Any) -> Iterator[Backups]:
    from appliance.backups import desk

    settings, storage = context.load()
    context.require_storage(storage)
    actor = f"command line (user {getpass.getuser()})"
    # Root may read a key file that the database's user may not.
    keys = [path.read_text(encoding="utf-8") for path in identities]
    users = context.become_database_user(storage)
    line = Line(quiet=as_json)
    try:
        yield desk.backups(
            settings, storage, users, actor=actor, report=line.show, identities=keys, **options
        )
    finally:
        line.clear()


def _row(one: dict[str, Any]) -> str:
    if one["fault"]:
        return f"{one['name']:40} damaged: {one['fault']}"
    marks = "encrypted" if one["encrypted"] else ""
    where = ", ".join(one["destinations"])
    when = one["created_at"].replace("T", " ")[:16]
    return f"{one['name']:40} {when}  {size(one['size']):>10}  {where}  {marks}".rstrip()


def _print(one: dict[str, Any]) -> None:
    lines: list[tuple[str, str]] = [("name", one["name"]), ("path", one["path"])]
    if one["fault"]:
        lines.append(("damaged", one["fault"]))
    else:
        lines += [
            ("kept in", ", ".join(one["destinations"])),
            ("made", f"{one['created_at']} by appliance {one['appliance_version']}"),
            ("size", size(one["size"])),
            ("opened by", _keys(one)),
        ]
        lines += [
            ("database", f"{database['name']}, {table['name']}: {table['rows']} rows")
            for database in one["databases"]
            for table in database["tables"]
        ]
    for name, text in lines:
        click.echo(f"{name:10} {text}")


def _keys(one: dict[str, Any]) -> str:
    if not one["encrypted"]:
        return "everyone who can read it (not encrypted)"
    return " or ".join([*one["recipients"], *(["its passphrase"] if one["passphrase"] else [])])
