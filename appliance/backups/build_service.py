"""The backup service, built from the settings."""

from collections.abc import Sequence
from pathlib import Path

from appliance.backups.destinations import from_settings
from appliance.backups.destinations.destination import Destination
from appliance.backups.format.encryption import Keyring
from appliance.backups.restore.restore_cluster import ClusterBuilder
from appliance.backups.server import pg_tools
from appliance.backups.service import BackupService
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system.limits import detect
from appliance.system.progress import Progress, Report
from appliance.system.system_users import SystemUsers


def build(
    settings: Settings,
    storage: Storage,
    users: SystemUsers,
    *,
    actor: str,
    report: Report,
    destinations: Sequence[str] = (),
    folder: Path | None = None,
    identities: Sequence[str] = (),
    passphrase: str | None = None,
) -> BackupService:
    """The service for a storage with all its destinations, the named ones, or one folder.

    `identities` are texts of key files, besides BACKUP_IDENTITY; `passphrase` opens backups instead
    of BACKUP_PASSPHRASE. Raises SettingsError or BadRequestError.
    """
    pg_tools.prepare_environment()
    resources = detect(settings.num_cpus)
    builder = ClusterBuilder(
        storage, users, resources, pg_tools.job_count(resources), Progress(report)
    )
    keys = [*identities, *([settings.backup_identity] if settings.backup_identity else [])]
    keyring = Keyring(keys, passphrase or settings.backup_passphrase)
    every = _every(settings, storage, folder)
    where = from_settings.choose(every, destinations or every)
    return BackupService(settings, builder, where, keyring, actor)


def _every(settings: Settings, storage: Storage, folder: Path | None) -> dict[str, Destination]:
    if folder is None:
        return from_settings.from_settings(settings, storage)
    return {"dir": from_settings.folder("dir", folder, storage)}
