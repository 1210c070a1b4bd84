"""Which state in a restored storage is the newest consistent one: the dump, or the cluster?"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from appliance.backups.backup_errors import DamagedError
from appliance.backups.format import manifest
from appliance.errors import ApplianceError
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from appliance.system import notes

_ANOTHER = (
    "Restore another backup: one that lies in its folder backups can be copied into an empty "
    "appliance and restored there."
)
_CLUSTER_BY_HAND = "If you know better, RESTORE_FROM=pgdata takes the cluster as it is."
_DUMP_BY_HAND = "RESTORE_FROM=dump takes an older dump, if there is one."


class RestoreSource(Enum):
    """What is restored."""

    DUMP = "dump"
    CLUSTER = "pgdata"


@dataclass(frozen=True)
class StorageState:
    """What lies in the storage.

    `window`: the manifest of a hook is there, so the copy was made just after that hook. `fault`
    says what is wrong with the dump, if it was looked at. `late_mark`: the mark that a copy comes
    to last. `failed_elsewhere`: a hook failed in a container that did not own the database.
    `one_generation`: the database is not known to have run while the copy was made.
    """

    window: bool
    late_mark: bool
    fault: str | None
    cluster: bool
    restoring: bool
    failed_elsewhere: bool
    one_generation: bool


def inspect(storage: Storage) -> StorageState:
    """Look at the storage. Reads every file of the dump, if there is one."""
    window = copy_detection.is_open(storage)
    return StorageState(
        window=window,
        late_mark=storage.hook_window.exists(),
        fault=_fault(storage.hook_backup) if window else None,
        cluster=(storage.pgdata / "PG_VERSION").exists(),
        restoring=storage.restoring.exists(),
        failed_elsewhere=_failed_elsewhere(storage),
        one_generation=copy_detection.is_of_one_generation(storage),
    )


def choose(state: StorageState) -> RestoreSource:
    """Choose; raises ApplianceError if no state is known to be whole."""
    if state.window:
        if state.fault:
            # The copy was made while the database ran, so the cluster beside the dump is torn.
            raise ApplianceError(
                f"{state.fault} It cannot be restored, and the cluster beside it was copied while "
                "the database ran, so it is torn.",
                f"{_ANOTHER} {_CLUSTER_BY_HAND}",
            )
        return RestoreSource.DUMP
    if not state.cluster:
        raise ApplianceError(
            "There is nothing to restore: neither the dump of a pre-backup hook nor a cluster.",
            "Is this the right backup?",
        )
    _check_cluster_is_whole(state)
    return RestoreSource.CLUSTER


def _check_cluster_is_whole(state: StorageState) -> None:
    reason = ""
    if state.restoring:
        reason = "a restore of it was broken off"
    elif state.late_mark:
        reason = "it was copied while a pre-backup hook was finishing, so the database ran"
    elif state.failed_elsewhere:
        reason = (
            "its hook failed in a container that did not own the database, so the database went on "
            "running in another while it was copied"
        )
    elif not state.one_generation:
        reason = "it was copied while its database ran"
    if reason:
        raise ApplianceError(
            f"No dump is current, and the cluster cannot be trusted: {reason}.",
            f"{_ANOTHER} {_CLUSTER_BY_HAND} {_DUMP_BY_HAND}",
        )


def _fault(folder: Path) -> str | None:
    try:
        manifest.check_files(manifest.read(folder), folder)
    except DamagedError as error:
        return error.message
    return None


def _failed_elsewhere(storage: Storage) -> bool:
    failure, owner = notes.read(storage.hook_failure), notes.read(storage.owner)
    return "owner" in failure and failure["owner"] == owner.get("instance")
