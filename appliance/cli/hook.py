"""What the platform's hooks call; see hooks/."""

import click

from appliance.cli import context
from appliance.system.limits import detect
from appliance.system.progress import Progress, silent


@click.group()
def hook() -> None:
    """What /hooks/pre-backup and /hooks/post-restore run."""


@hook.command(name="pre-backup")
def pre_backup() -> None:
    """Dump all databases to backups/.hook in the storage, for the platform to copy."""
    from appliance.backups.platform import hooks
    from appliance.backups.server import pg_tools

    settings, storage = context.load()
    context.require_storage(storage)
    context.run_as_database_user(storage)
    pg_tools.prepare_environment()
    jobs = pg_tools.job_count(detect(settings.num_cpus))
    made = hooks.pre_backup(storage, jobs=jobs, progress=Progress(silent))
    click.echo(f"{storage.hook_backup} is ready to be copied ({made.size} bytes).")


@hook.command(name="post-restore")
def post_restore() -> None:
    """Make the database anew from what a backup of the platform holds. Nothing may run on it."""
    from appliance.apps import registry
    from appliance.backups.platform import hooks
    from appliance.backups.restore.restore_cluster import ClusterBuilder
    from appliance.backups.server import pg_tools
    from appliance.system import system_users

    settings, storage = context.load()
    users = system_users.detect()
    storage.prepare(users)
    app, resources = registry.load(settings.app), detect(settings.num_cpus)
    descriptor = hooks.take_ownership(storage, users)
    pg_tools.prepare_environment()
    hooks.post_restore(
        ClusterBuilder(
            storage, users, app, resources, pg_tools.job_count(resources), Progress(silent)
        ),
        descriptor,
        only=settings.restore_db,
        choice=settings.restore_from,
        say=click.echo,
    )
