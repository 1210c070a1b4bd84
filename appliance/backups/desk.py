"""Everything that work on backups needs, put together from the settings."""

from collections.abc import Sequence
from pathlib import Path

from appliance.backups import archives
from appliance.backups.destinations import configured
from appliance.backups.destinations.contract import Destination
from appliance.backups.encryption import Keyring
from appliance.backups.operations import Backups
from appliance.backups.progress import Progress, Report
from appliance.backups.rebuild import Builder
from appliance.identities import Identities
from appliance.resources import detect
from appliance.settings import Settings
from appliance.storage import Storage


def backups(
    settings: Settings,
    storage: Storage,
    users: Identities,
    *,
    actor: str,
    report: Report,
    destinations: Sequence[str] = (),
    folder: Path | None = None,
    identities: Sequence[str] = (),
    passphrase: str | None = None,
) -> Backups:
    """The backups of a storage in all its destinations, in the named ones, or in one folder.

    `identities` are texts of key files, besides BACKUP_IDENTITY; `passphrase` opens backups instead
    of BACKUP_PASSPHRASE. Raises SettingsError or BadRequestError.
    """
    archives.prepare_environment()
    resources = detect(settings.num_cpus)
    builder = Builder(storage, users, resources, archives.jobs(resources), Progress(report))
    keys = [*identities, *([settings.backup_identity] if settings.backup_identity else [])]
    keyring = Keyring(keys, passphrase or settings.backup_passphrase)
    every = _every(settings, storage, folder)
    where = configured.choose(every, destinations or every)
    return Backups(settings, builder, where, keyring, actor)


def _every(settings: Settings, storage: Storage, folder: Path | None) -> dict[str, Destination]:
    if folder is None:
        return configured.destinations(settings, storage)
    return {"dir": configured.folder("dir", folder, storage)}
