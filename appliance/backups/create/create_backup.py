"""Creating a backup in a folder: dump everything, read it back, describe it."""

from contextlib import closing
from pathlib import Path

from appliance import __version__
from appliance.backups.create.dump import Dumper
from appliance.backups.format.encryption import Encryptor
from appliance.backups.format.manifest import Manifest, describe
from appliance.backups.format.staged_backup import StagedBackup
from appliance.backups.server import databases
from appliance.database.connect import Connection
from appliance.migrations import ledger
from appliance.postgres import config, disk_space
from appliance.storage.paths import Storage
from appliance.system import clock
from appliance.system.files import fsync
from appliance.system.progress import Progress

IDENTITY_FILE = "identity.age"


def create_backup(
    storage: Storage,
    staged: StagedBackup,
    encryptor: Encryptor | None,
    *,
    jobs: int,
    progress: Progress,
) -> Manifest:
    """Dump the running database into a staged backup; returns the manifest to commit it with.

    Call it while holding the lock on backups. Every file is on the disk and was read back at the
    return. Raises ApplianceError or OSError; what is in the folder then is of no use.
    """
    created_at, folder = clock.timestamp_ms(), staged.folder
    # Whoever cannot be reached is said to be so; pg_dumpall would only fail.
    with closing(databases.connect_to(storage.run, databases.MAINTENANCE)) as connection:
        # What a killed restore has left would take disk space.
        databases.drop_temporary(connection)
    disk_space.check_to_go_on(folder)
    dumper = Dumper(storage.run, folder, encryptor, jobs=jobs, progress=progress)
    roles = dumper.roles()
    dumps = dumper.databases()
    identity = _write_identity(folder, encryptor)
    with closing(databases.connect_to(storage.run, config.DATABASE)) as connection:
        server, system, schema = _origin(connection)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    described = tuple(describe(path, folder) for path in files)
    for path in (*files, folder, *(path for path in folder.rglob("*") if path.is_dir())):
        fsync(path)
    return Manifest(
        name=staged.name,
        created_at=created_at,
        finished_at=clock.timestamp_ms(),
        appliance_version=__version__,
        postgres_version=server,
        system_identifier=system,
        schema=schema,
        encrypted=encryptor is not None,
        recipients=encryptor.recipients if encryptor else (),
        identity_file=identity,
        roles=roles,
        files=described,
        databases=dumps,
    )


def _write_identity(folder: Path, encryptor: Encryptor | None) -> str | None:
    if encryptor is None or encryptor.encrypted_identity is None:
        return None
    (folder / IDENTITY_FILE).write_bytes(encryptor.encrypted_identity)
    return IDENTITY_FILE


def _origin(connection: Connection) -> tuple[str, str, dict[str, int]]:
    row = connection.execute("SELECT current_setting('server_version')").fetchone()
    server, system = row[0] if row else "", databases.system_identifier(connection)
    return server, system, ledger.newest(connection)
