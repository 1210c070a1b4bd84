"""What the platform's hooks call; see hooks/."""

import click

from appliance.backups.progress import Progress, silent
from appliance.cli import context
from appliance.resources import detect


@click.group()
def hook() -> None:
    """What /hooks/pre-backup and /hooks/post-restore run."""


@hook.command(name="pre-backup")
def pre_backup() -> None:
    """Dump all databases to backups/.hook in the storage, for the platform to copy."""
    from appliance.backups import archives, hooks

    settings, storage = context.load()
    context.require_storage(storage)
    context.become_database_user(storage)
    archives.prepare_environment()
    jobs = archives.jobs(detect(settings.num_cpus))
    made = hooks.pre_backup(storage, jobs=jobs, progress=Progress(silent))
    click.echo(f"{storage.hook_backup} is ready to be copied ({made.size} bytes).")


@hook.command(name="post-restore")
def post_restore() -> None:
    """Make the database anew from what a backup of the platform holds. Nothing may run on it."""
    from appliance import identities
    from appliance.backups import archives, hooks
    from appliance.backups.rebuild import Builder

    settings, storage = context.load()
    users = identities.detect()
    storage.prepare(users)
    resources = detect(settings.num_cpus)
    descriptor = hooks.own(storage, users)
    archives.prepare_environment()
    hooks.post_restore(
        Builder(storage, users, resources, archives.jobs(resources), Progress(silent)),
        descriptor,
        only=settings.restore_db,
        choice=settings.restore_from,
        say=click.echo,
    )
