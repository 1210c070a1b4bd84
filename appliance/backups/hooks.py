"""What the platform calls: pre-backup in a running container, post-restore in an idle one."""

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from appliance.backups import (
    audit,
    database_contents,
    databases,
    evidence,
    exclusive,
    load,
    making,
    names,
    private_server,
    rebuild,
)
from appliance.backups import manifest as manifests
from appliance.backups.errors import ConflictError, NotFoundError
from appliance.backups.evidence import Choice
from appliance.backups.load import Source
from appliance.backups.manifest import Manifest
from appliance.backups.progress import Progress
from appliance.backups.rebuild import Builder
from appliance.errors import ApplianceError, StorageError
from appliance.files import rename_durably, write_json
from appliance.identities import Identities
from appliance.postgres import cluster, hook_window, ownership
from appliance.postgres.ownership import Owner
from appliance.storage import Storage

ACTOR = "platform"
# A scheduled backup or a drill may end first: if the hook failed, the platform would pause us.
OTHERS_LIMIT_S = 600.0
# The database may move to another container while it is dumped; the next dump comes from there.
_TRIES = 3
_BACK_LIMIT_S = 20.0
# From the hook's end to the platform's first look at the storage.
_COPY_BEGINS_S = 5.0

_STAGING = ".staging-hook"
_FORMAT = 1
_LOOK_EVERY_S = 0.1

Say = Callable[[str], None]


def pre_backup(storage: Storage, *, jobs: int, progress: Progress) -> Manifest:
    """Dump all databases and the roles to where the platform copies them.

    First the old dump's claim to be current is taken away. Raises ApplianceError with a sentence
    if anything is wrong; then nothing claims to be current, and the platform has to pause.
    """
    with ownership.holding(storage.hook_lock) as ours:
        if not ours:
            raise ConflictError(
                "Another pre-backup hook is running on this storage.", "Wait for its end."
            )
        _let_a_copy_begin(storage)
        hook_window.begin(storage)
        _note_failure(storage)
        try:
            with exclusive.holding(storage, "pre-backup hook", wait_s=OTHERS_LIMIT_S):
                made = _dump(storage, jobs, progress)
        except BaseException:
            hook_window.close(storage)
            # It may have moved to another container since the hook began.
            _note_failure(storage)
            raise
    return made


def post_restore(
    builder: Builder, descriptor: int, *, only: str | None, choice: str | None, say: Say
) -> None:
    """Make the storage's cluster the newest consistent state that is in the storage.

    `descriptor` is that of the ownership lock, which is held. `only` names a database to restore
    alone; `choice` overrides the evidence. Raises ApplianceError; what was there is still there
    then, and it may be run again, as after a kill.
    """
    storage = builder.storage
    chosen = _choose(storage, choice, say)
    with databases.reached():
        if chosen is Choice.DUMP:
            _from_dump(builder, descriptor, only, say)
        else:
            _from_cluster(builder, descriptor, only, say)
    storage.hook_failure.unlink(missing_ok=True)
    audit.record(storage, "hook post-restore", ACTOR, ok=True, source=chosen.value)


def own(storage: Storage, users: Identities) -> int:
    """Own the storage's cluster, which nobody runs, until this process ends.

    Returns the lock's descriptor. Raises StorageError if somebody runs it.
    """
    descriptor = ownership.open_lock(storage, users.database.uid, users.database.gid)
    if not ownership.try_lock(descriptor):
        raise StorageError(
            f"The database in {storage.root} is running: a restore by the hook is for a storage "
            "where nothing runs. Nothing was changed.",
            "To restore into a running appliance: appliance backup restore NAME --force",
        )
    return descriptor


def _dump(storage: Storage, jobs: int, progress: Progress) -> Manifest:
    staging = storage.backups / _STAGING
    shutil.rmtree(storage.hook_backup, ignore_errors=True)
    made = _dump_wherever_it_is(storage, staging, jobs, progress)
    rename_durably(staging, storage.hook_backup)
    audit.record(storage, "hook pre-backup", ACTOR, name=made.name, ok=True, size=made.size)
    storage.hook_failure.unlink(missing_ok=True)
    hook_window.open_for(storage, made.name)
    manifests.write(made, storage.hook_backup)
    return made


def _dump_wherever_it_is(
    storage: Storage, staging: Path, jobs: int, progress: Progress
) -> Manifest:
    tries = 0
    while True:
        tries += 1
        owner = ownership.read_owner(storage)
        shutil.rmtree(staging, ignore_errors=True)
        try:
            name = names.generate(datetime.now(UTC))
            with databases.reached():
                return making.make(storage, staging, name, None, jobs=jobs, progress=progress)
        except (ApplianceError, OSError):
            shutil.rmtree(staging, ignore_errors=True)
            if tries == _TRIES or not _moved(storage, owner):
                raise


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
    return ownership.read_owner(storage) != owner


def _let_a_copy_begin(storage: Storage) -> None:
    """The platform may be about to copy what the last hook made, for another backup."""
    while hook_window.is_open(storage) and hook_window.seconds_open(storage) < _COPY_BEGINS_S:
        time.sleep(_LOOK_EVERY_S)


def _note_failure(storage: Storage) -> None:
    """Until the hook has succeeded: what is copied is torn, if a container that does not own the
    database is paused for it.
    """
    storage.hook_failure.unlink(missing_ok=True)
    owner = ownership.read_owner(storage)
    if owner is not None and owner.hostname != socket.gethostname():
        with suppress(OSError):
            write_json(storage.hook_failure, {"format": _FORMAT, "owner": owner.instance})


def _choose(storage: Storage, choice: str | None, say: Say) -> Choice:
    """What to restore; every file of a dump was compared with its manifest then."""
    if choice is None:
        return _by_evidence(storage, say)
    say(f"RESTORE_FROM={choice}: it is taken, whatever speaks against it")
    chosen = Choice(choice)
    if chosen is Choice.DUMP:
        manifests.check_files(_read_manifest(storage), storage.hook_backup)
    return chosen


def _by_evidence(storage: Storage, say: Say) -> Choice:
    found = evidence.gather(storage)
    chosen = evidence.decide(found)
    if chosen is Choice.CLUSTER:
        say("the storage was copied while it stood still")
    elif found.one_generation:
        say("if it stood still while it was copied, its cluster is newer: RESTORE_FROM=pgdata")
    return chosen


def _from_dump(builder: Builder, descriptor: int, only: str | None, say: Say) -> None:
    storage, folder = builder.storage, builder.storage.hook_backup
    source = Source(_read_manifest(storage), folder, None)
    say(f"restoring the dump of {source.manifest.finished_at}")
    builder.check_room(storage.root, load.selected(source.manifest, only))
    rebuild.begin(storage)
    with builder.cluster(storage.pgdata_new, source, descriptor, only):
        pass
    rebuild.swap(storage)
    rebuild.end(storage)
    say(f"restored {load.words(load.selected(source.manifest, only))}")


def _read_manifest(storage: Storage) -> Manifest:
    for path in (hook_window.manifest_path(storage), storage.hook_backup / hook_window.CLOSED):
        if path.exists():
            return manifests.parse(path.read_bytes(), str(storage.hook_backup))
    raise NotFoundError(
        f"There is no dump of a pre-backup hook in {storage.hook_backup}.",
        "Unset RESTORE_FROM, or restore another backup.",
    )


def _from_cluster(builder: Builder, descriptor: int, only: str | None, say: Say) -> None:
    storage = builder.storage
    say("recovering the cluster")
    user = builder.identities.database
    if not storage.pgdata.exists():
        raise NotFoundError(
            f"There is no cluster in {storage.pgdata}.",
            "Unset RESTORE_FROM, or restore another backup.",
        )
    cluster.check(storage, user)
    cluster.write_configuration(storage.pgdata, storage, builder.identities, builder.resources)
    with private_server.serving(storage.pgdata, {}, user, descriptor) as server:
        if only is not None:
            for gone in rebuild.keep_only(server, only):
                say(f"RESTORE_DB={only}: the database {gone} was left out")
        for name in _databases(server):
            # Reads every page of every table, and with it every page's checksum.
            database_contents.read(server, name, builder.jobs)
            rebuild.check_app(server, name)
    rebuild.end(storage)
    say("every table of the cluster could be read")


def _databases(server: Path) -> list[str]:
    with databases.connect_to(server, databases.MAINTENANCE) as connection:
        closed = databases.closed(connection)
        return [name for name in databases.names(connection) if name not in closed]
