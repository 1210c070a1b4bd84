"""Backups by hand: make, see, verify, restore, remove."""

import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from appliance.backups import descriptions
from appliance.backups.format.backup_name import BackupName
from appliance.backups.service import BackupService
from appliance.cli import backup_options, backup_table, context
from appliance.cli.main import print_json
from appliance.cli.progress_bar import ProgressBar
from appliance.errors import ApplianceError, ExitCode
from appliance.system.text import extent, size


@click.group()
def backup() -> None:
    """Make, list, verify, restore and remove backups.

    Each ends with 1 if it could not do what was asked, or if a backup is not what it says.
    """


@backup.command(epilog="Example: appliance backup create --name before-the-audit")
@click.option("--name", help="Call it so. By default it is named after the time.")
@click.option("--to", multiple=True, help="Keep it in this destination only. Repeatable.")
@backup_options.folder
@backup_options.json
def create(name: str | None, to: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Back up all databases and roles, while everything runs.

    Ends with 1 unless it is kept in every destination.
    """
    with _service(as_json, folder=folder, destinations=to) as service:
        entry = service.create(None if name is None else BackupName(name))
    if as_json:
        print_json(descriptions.describe_fully(entry, service.app))
    else:
        weight = size(entry.manifest.size if entry.manifest else 0)
        click.echo(f"Made {entry.name} ({weight}), kept in {', '.join(entry.destinations)}.")


@backup.command(name="list")
@backup_options.folder
@backup_options.json
def list_(folder: Path | None, as_json: bool) -> int:
    """List the backups of all destinations, the newest first.

    Ends with 1 if one of them is damaged or a destination is away; the others are listed then, too.
    """
    with _service(as_json, folder=folder) as service:
        entries, unreachable = service.catalog.all(), service.catalog.unreachable
    if as_json:
        print_json([descriptions.describe(one, service.app) for one in entries])
    elif entries:
        backup_table.print_table(entries)
    elif not unreachable:
        click.echo("There are no backups. Make one: appliance backup create")
    for error in unreachable:
        click.echo(f"appliance: {error}", err=True)
    damaged = [one.name for one in entries if one.fault]
    if damaged:
        click.echo(f"appliance: damaged: {', '.join(damaged)}.", err=True)
        click.echo("  What to do: appliance backup show NAME", err=True)
    return ExitCode.FAILURE if unreachable or damaged else ExitCode.OK


@backup.command()
@click.argument("name")
@backup_options.folder
@backup_options.json
def show(name: str, folder: Path | None, as_json: bool) -> int:
    """Show what is in a backup. Ends with 1 if it is damaged."""
    with _service(as_json, folder=folder) as service:
        facts = descriptions.describe_fully(service.catalog.find(BackupName(name)), service.app)
    if as_json:
        print_json(facts)
    else:
        backup_table.print_one(facts)
    return ExitCode.FAILURE if facts["fault"] else ExitCode.OK


@backup.command(epilog="Example: appliance backup verify before-the-audit --from nas")
@click.argument("name")
@backup_options.identity
@backup_options.passphrase_file
@backup_options.source
@backup_options.folder
@backup_options.json
def verify(name: str, as_json: bool, **where: Any) -> None:
    """Restore a backup into a throwaway cluster beside the live one, and compare.

    Ends with 1 if it is not what it says, or cannot be opened.
    """
    with _service_to_read(as_json, **where) as service:
        verification = service.verify(BackupName(name))
    if as_json:
        print_json(vars(verification))
    else:
        checked = f", and {service.app.checked}" if service.app.checked else ""
        restored = extent(verification.tables, verification.rows)
        click.echo(
            f"{name} restores: {restored} as they were{checked} ({verification.seconds:g} s)."
        )


@backup.command(epilog="Example: appliance backup restore before-the-audit --force")
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace the data that is there now.")
@backup_options.identity
@backup_options.passphrase_file
@backup_options.source
@backup_options.folder
@backup_options.json
def restore(name: str, force: bool, as_json: bool, **where: Any) -> None:
    """Replace what the running appliance has by a backup; requests wait meanwhile.

    Ends with 1 if the backup or the data that is there forbids it, and with 6 if the appliance does
    not run. Nothing has changed then.
    """
    with _service_to_read(as_json, **where) as service:
        manifest = service.restore(BackupName(name), force=force)
    if as_json:
        print_json({"name": name, "restored": True, "created_at": manifest.created_at})
    else:
        click.echo(f"Restored {name}: everything is as it was at {manifest.created_at}.")


@backup.command(epilog="Example: appliance backup prune --keep 7 -y")
@click.option("--keep", type=int, required=True, help="How many of the newest stay.")
@backup_options.yes
@backup_options.folder
@backup_options.json
def prune(keep: int, yes: bool, folder: Path | None, as_json: bool) -> None:
    """Remove all backups but the newest, and none that is damaged.

    Ends with 1 if nobody is there to say yes, or a destination is away: nothing is removed then.
    """
    with _service(as_json, folder=folder) as service:
        doomed = service.to_prune(keep)
        if doomed and not yes:
            click.echo("These go: " + ", ".join(doomed), err=True)
            _ask("Remove them?")
        done = descriptions.describe_pruned(service.prune(keep))
    if as_json:
        print_json(done)
    else:
        freed = size(done["bytes_freed"])
        click.echo(f"Removed {done['deleted_count']} ({freed}), kept {done['retained_count']}.")


@backup.command(epilog="Example: appliance backup delete before-the-audit -y")
@click.argument("name")
@backup_options.yes
@backup_options.folder
@backup_options.json
def delete(name: str, yes: bool, folder: Path | None, as_json: bool) -> None:
    """Remove one backup from every destination.

    Ends with 1 if nobody is there to say yes, or a destination is away: nothing is removed then.
    """
    with _service(as_json, folder=folder) as service:
        service.catalog.find(BackupName(name))
        if not yes:
            _ask(f"Remove {name}?")
        freed = service.delete(BackupName(name))
    if as_json:
        print_json({"name": name, "bytes_freed": freed})
    else:
        click.echo(f"Removed {name} ({size(freed)}).")


@contextmanager
def _service_to_read(
    as_json: bool,
    *,
    identities: Sequence[Path],
    passphrase_file: Path | None,
    source: str | None,
    folder: Path | None,
) -> Iterator[BackupService]:
    # Root may read a key file that the database's user may not.
    keys = [_secret(path) for path in identities]
    passphrase = _secret(passphrase_file) if passphrase_file else None
    one = [source] if source else []
    with _service(
        as_json, folder=folder, destinations=one, identities=keys, passphrase=passphrase
    ) as service:
        yield service


@contextmanager
def _service(as_json: bool, **options: Any) -> Iterator[BackupService]:
    from appliance.apps import registry
    from appliance.backups.service import build_service

    settings, storage = context.load()
    context.require_storage(storage)
    actor = f"command line (user {getpass.getuser()})"
    users = context.run_as_database_user(storage)
    line = ProgressBar(quiet=as_json)
    try:
        yield build_service(
            settings,
            storage,
            users,
            registry.load(settings.app),
            actor=actor,
            report=line.show,
            **options,
        )
    finally:
        line.clear()


def _secret(file: Path) -> str:
    secret = file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    if not secret:
        raise ApplianceError(f"There is nothing in {file}.", "Write the key or passphrase into it.")
    return secret


def _ask(question: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ApplianceError("Nothing was removed: add -y to do it without being asked.")
    click.confirm(question, abort=True, err=True)
