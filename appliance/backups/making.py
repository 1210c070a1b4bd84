"""Making a backup in a folder: dump everything, read it back, describe it."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from appliance import __version__
from appliance.backups import databases
from appliance.backups.dump import Dumper
from appliance.backups.encryption import Sealer
from appliance.backups.manifest import Manifest, describe
from appliance.backups.progress import Progress
from appliance.backups.room import Room
from appliance.files import fsync
from appliance.migrations import ledger
from appliance.migrations.tracks import Track
from appliance.postgres import config
from appliance.postgres.connect import Connection
from appliance.storage import Storage

IDENTITY = "identity.age"

_TRACKS = ("engine", "client")


def make(
    storage: Storage,
    folder: Path,
    name: str,
    sealer: Sealer | None,
    *,
    jobs: int,
    progress: Progress,
) -> Manifest:
    """Dump the running database into an empty `folder`; returns the manifest, not written.

    Call it while holding the lock on backups. Every file is on the disk and was read back at the
    return. Raises ApplianceError or OSError; what is in the folder then is of no use.
    """
    created_at = _now()
    # Whoever cannot be reached is said to be so; pg_dumpall would only fail.
    with closing(databases.connect_to(storage.run, databases.MAINTENANCE)) as connection:
        # What a restore that died has left would take the room.
        databases.drop_passing(connection)
    folder.mkdir(mode=0o750, exist_ok=True)
    room = Room(folder)
    room.check()
    dumper = Dumper(storage.run, folder, sealer, jobs=jobs, progress=progress, room=room)
    roles = dumper.roles()
    dumps = dumper.databases()
    identity = _write_identity(folder, sealer)
    with closing(databases.connect_to(storage.run, config.DATABASE)) as connection:
        server, system, schema = _origin(connection)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    described = tuple(describe(path, folder) for path in files)
    for path in (*files, folder, *(path for path in folder.rglob("*") if path.is_dir())):
        fsync(path)
    return Manifest(
        name=name,
        created_at=created_at,
        finished_at=_now(),
        appliance_version=__version__,
        postgres_version=server,
        system_identifier=system,
        schema=schema,
        encrypted=sealer is not None,
        recipients=sealer.recipients if sealer else (),
        identity_file=identity,
        roles=roles,
        files=described,
        databases=dumps,
    )


def _write_identity(folder: Path, sealer: Sealer | None) -> str | None:
    if sealer is None or sealer.sealed_identity is None:
        return None
    (folder / IDENTITY).write_bytes(sealer.sealed_identity)
    return IDENTITY


def _origin(connection: Connection) -> tuple[str, str, dict[str, int]]:
    row = connection.execute("SELECT current_setting('server_version')").fetchone()
    server, system = row[0] if row else "", databases.system_identifier(connection)
    applied = {
        name: max((entry.number for entry in ledger.read(connection, Track(name, ()))), default=0)
        for name in _TRACKS
    }
    return server, system, applied


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
