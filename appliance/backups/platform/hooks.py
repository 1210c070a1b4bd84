"""What the platform calls: pre-backup in a running container, post-restore in an idle one."""

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from appliance.backups import audit, exclusive
from appliance.backups.backup_errors import ConflictError, NotFoundError
from appliance.backups.create.create_backup import create_backup
from appliance.backups.format import manifest as manifests
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import Manifest
from appliance.backups.format.staged_backup import StagedBackup
from appliance.backups.platform import choose_source
from appliance.backups.platform.choose_source import RestoreSource
from appliance.backups.restore import load, restore_cluster
from appliance.backups.restore.load import Source
from appliance.backups.restore.restore_cluster import ClusterBuilder
from appliance.backups.server import databases
from appliance.errors import ApplianceError, StorageError
from appliance.storage import copy_detection, lock
from appliance.storage.lock import Owner
from appliance.storage.paths import Storage
from appliance.system import clock, notes
from appliance.system.progress import Progress
from appliance.system.system_users import SystemUsers

ACTOR = "platform"
# A scheduled backup or a drill may end first: if the hook failed, the platform would pause us.
OTHERS_LIMIT_S = 600.0
# The database may move to another container while it is dumped; the next dump comes from there.
_TRIES = 3
_BACK_LIMIT_S = 20.0
# From the hook's end to the platform's first look at the storage.
_COPY_BEGINS_S = 5.0

_STAGING = ".staging-hook"
_LOOK_EVERY_S = 0.1

Say = Callable[[str], None]


def pre_backup(storage: Storage, *, jobs: int, progress: Progress) -> Manifest:
    """Dump all databases and the roles to where the platform copies them.

    First the old dump is marked as no longer current. Raises ApplianceError with a sentence
    if anything is wrong; then no dump counts as current, and the platform has to pause.
    """
    with lock.holding(storage.hook_lock) as ours:
        if not ours:
            raise ConflictError(
                "Another pre-backup hook is running on this storage.", "Wait for its end."
            )
        _let_a_copy_begin(storage)
        copy_detection.begin(storage)
        _note_failure(storage)
        try:
            with exclusive.holding(storage, "pre-backup hook", wait_s=OTHERS_LIMIT_S):
                return _dump(storage, jobs, progress)
        except BaseException:
            copy_detection.close_window(storage)
            # It may have moved to another container since the hook began.
            _note_failure(storage)
            raise


def post_restore(
    builder: ClusterBuilder, descriptor: int, *, only: str | None, choice: str | None, say: Say
) -> None:
    """Make the storage's cluster the newest consistent state that is in the storage.

    `descriptor` is that of the ownership lock, which is held. `only` names a database to restore
    alone; `choice` overrides our own. Raises ApplianceError; what was there is still there
    then, and it may be run again, as after a kill.
    """
    storage = builder.storage
    chosen = _choose(storage, choice, say)
    with databases.postgres_errors_explained():
        if chosen is RestoreSource.DUMP:
            _from_dump(builder, descriptor, only, say)
        else:
            _from_cluster(builder, descriptor, only, say)
    storage.hook_failure.unlink(missing_ok=True)
    audit.record(storage, "hook post-restore", ACTOR, ok=True, source=chosen.value)


def take_ownership(storage: Storage, users: SystemUsers) -> int:
    """Take the ownership lock of a storage where nothing runs, until this process ends.

    Returns the lock's descriptor. Raises StorageError if somebody runs it.
    """
    descriptor = lock.open_lock(storage, users.database.uid, users.database.gid)
    if not lock.try_lock(descriptor):
        raise StorageError(
            f"The database in {storage.root} is running: a restore by the hook is for a storage "
            "where nothing runs. Nothing was changed.",
            "To restore into a running appliance: appliance backup restore NAME --force",
        )
    return descriptor


def _dump(storage: Storage, jobs: int, progress: Progress) -> Manifest:
    shutil.rmtree(storage.hook_backup, ignore_errors=True)
    tries = 0
    while True:
        tries += 1
        owner = lock.read_owner(storage)
        with _stage(storage) as staged:
            try:
                with databases.postgres_errors_explained():
                    manifest = create_backup(storage, staged, None, jobs=jobs, progress=progress)
            except (ApplianceError, OSError):
                if tries == _TRIES or not _moved(storage, owner):
                    raise
            else:
                _publish(storage, staged, manifest)
                return manifest


def _stage(storage: Storage) -> StagedBackup:
    name = BackupName.generate(clock.utc_now())
    return StagedBackup(name, storage.backups / _STAGING, storage.hook_backup)


def _publish(storage: Storage, staged: StagedBackup, manifest: Manifest) -> None:
    # Its manifest says that it is current, so that comes last.
    staged.move_into_place()
    audit.record(storage, "hook pre-backup", ACTOR, name=staged.name, ok=True, size=manifest.size)
    storage.hook_failure.unlink(missing_ok=True)
    copy_detection.open_window(storage, staged.name)
    manifests.write(manifest, storage.hook_backup)


def _moved(storage: Storage, owner: Owner | None) -> bool:
    """Whether the database was lost because it went to another container, or came back anew."""
    deadline = time.monotonic() + _BACK_LIMIT_S
    while time.monotonic() < deadline:
        try:
            databases.connect_to(storage.run, databases.MAINTENANCE).close()
        except psycopg.OperationalError:
            time.sleep(_LOOK_EVERY_S)
        else:
            break
    return lock.read_owner(storage) != owner


def _let_a_copy_begin(storage: Storage) -> None:
    """The platform may be about to copy what the last hook made, for another backup."""
    while copy_detection.is_open(storage) and copy_detection.seconds_open(storage) < _COPY_BEGINS_S:
        time.sleep(_LOOK_EVERY_S)


def _note_failure(storage: Storage) -> None:
    """Until the hook has succeeded: what is copied is torn, if a container that does not own the
    database is paused for it.
    """
    storage.hook_failure.unlink(missing_ok=True)
    owner = lock.read_owner(storage)
    if owner is not None and owner.hostname != socket.gethostname():
        with suppress(OSError):
            notes.write(storage.hook_failure, {"owner": owner.instance})


def _choose(storage: Storage, choice: str | None, say: Say) -> RestoreSource:
    """What to restore; every file of a dump was compared with its manifest then."""
    if choice is None:
        return _choose_by_state(storage, say)
    say(f"RESTORE_FROM={choice}: it is taken, whatever speaks against it")
    chosen = RestoreSource(choice)
    if chosen is RestoreSource.DUMP:
        manifests.check_files(_read_manifest(storage), storage.hook_backup)
    return chosen


def _choose_by_state(storage: Storage, say: Say) -> RestoreSource:
    state = choose_source.inspect(storage)
    chosen = choose_source.choose(state)
    if chosen is RestoreSource.CLUSTER:
        say("the storage was copied while it stood still")
    elif state.one_generation:
        say("if it stood still while it was copied, its cluster is newer: RESTORE_FROM=pgdata")
    return chosen


def _from_dump(builder: ClusterBuilder, descriptor: int, only: str | None, say: Say) -> None:
    storage, folder = builder.storage, builder.storage.hook_backup
    source = Source(_read_manifest(storage), folder, None)
    say(f"restoring the dump of {source.manifest.finished_at}")
    builder.check_room(storage.root, load.select_databases(source.manifest, only))
    restore_cluster.begin_restore(storage)
    with builder.build(storage.pgdata_new, source, descriptor, only):
        pass
    restore_cluster.swap_clusters(storage)
    restore_cluster.end_restore(storage)
    say(f"restored {load.summary(load.select_databases(source.manifest, only))}")


def _read_manifest(storage: Storage) -> Manifest:
    for path in (
        copy_detection.manifest_path(storage),
        storage.hook_backup / copy_detection.CLOSED,
    ):
        if path.exists():
            return manifests.parse(path.read_bytes(), str(storage.hook_backup))
    raise NotFoundError(
        f"There is no dump of a pre-backup hook in {storage.hook_backup}.",
        "Unset RESTORE_FROM, or restore another backup.",
    )


def _from_cluster(builder: ClusterBuilder, descriptor: int, only: str | None, say: Say) -> None:
    storage = builder.storage
    say("recovering the cluster")
    if not storage.pgdata.exists():
        raise NotFoundError(
            f"There is no cluster in {storage.pgdata}.",
            "Unset RESTORE_FROM, or restore another backup.",
        )
    for left_out in restore_cluster.recover(builder, descriptor, only):
        say(f"RESTORE_DB={only}: the database {left_out} was left out")
    restore_cluster.end_restore(storage)
    say("every table of the cluster could be read")
