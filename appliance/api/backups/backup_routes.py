"""The paths of backups."""

import re
from typing import Any

from appliance.api.backups import backup_models
from appliance.api.backups.backup_problems import check_backup_name
from appliance.api.backups.delegated_endpoints import WORK, DelegatedEndpoint, DelegatedResource
from appliance.backups.format.backup_name import BackupName
from appliance.backups.jobs import job_results
from appliance.database.units_of_work import Database
from appliance.settings import Settings
from appliance.storage.paths import Storage
from appliance.system import clock
from appliance.web.authenticated import RequestValues
from appliance.web.endpoints import Parameter
from appliance.web.problems import ProblemError

_TAG = "backups"
_BAD_NAME = "What cannot be the name of a backup is refused, too."
_AT_WORK = "Somebody else is at work on the backups."
_AWAY = "A destination cannot be reached or used."
_DAMAGED = "The backup is damaged, or the key at hand does not open it."
_VERB = "That is no name, but a path that takes POST only."
_NONE = "There is no backup of this name."
_NAME = Parameter(
    name="name",
    schema=backup_models.NAME_SCHEMA,
    problems={400: _BAD_NAME, 404: _NONE},
    read=check_backup_name,
)
_NO_WORK = "There is no such work, or it is long over."


def _read_work(text: str) -> str:
    if re.fullmatch(job_results.PATTERN, text) is None:
        raise ProblemError(404, _NO_WORK, kind="no-such-work")
    return text


_WORK = Parameter(
    name="id",
    schema={"type": "string", "pattern": f"^{job_results.PATTERN}$"},
    problems={404: _NO_WORK},
    read=_read_work,
)
_LATER = {202: backup_models.RunningWork}


def resources(
    settings: Settings, storage: Storage, database: Database
) -> dict[str, DelegatedResource]:
    """The resources by path."""
    return {
        path: DelegatedResource(path, endpoints, settings, storage, database)
        for path, endpoints in ENDPOINTS
    }


def _new(asked: RequestValues) -> dict[str, Any]:
    # A name of ours is given here already, so that a 202 can say it.
    return {"name": asked.body.name or BackupName.generate(clock.utc_now())}


def _nothing(_asked: RequestValues) -> dict[str, Any]:
    return {}


def _body(asked: RequestValues) -> dict[str, Any]:
    return dict(asked.body)


def _part(asked: RequestValues) -> dict[str, Any]:
    return {"name": asked.part}


def _id(asked: RequestValues) -> dict[str, Any]:
    return {"id": asked.part}


def _known(work: dict[str, Any] | None) -> dict[str, Any]:
    if work is None:
        raise ProblemError(404, _NO_WORK, kind="no-such-work")
    return work


def _part_and_body(asked: RequestValues) -> dict[str, Any]:
    return _part(asked) | _body(asked)


ENDPOINTS: tuple[tuple[str, list[DelegatedEndpoint]], ...] = (
    (
        "/api/backup",
        [
            DelegatedEndpoint(
                method="POST",
                name="createBackup",
                summary="Back up all databases and roles, while everything runs",
                tag=_TAG,
                action="create",
                arguments=_new,
                body=backup_models.NewBackup,
                body_required=False,
                answer=backup_models.BackupDetails,
                status=201,
                location="/api/backup/{name}",
                problems={400: _BAD_NAME, 409: f"The name is taken. {_AT_WORK}", 502: _AWAY},
                also=_LATER,
            ),
            DelegatedEndpoint(
                method="GET",
                name="listBackups",
                summary="List the backups of all destinations, the newest first",
                tag=_TAG,
                action="list",
                arguments=_nothing,
                answer=backup_models.BackupList,
                problems={502: _AWAY},
            ),
        ],
    ),
    (
        "/api/backup/prune",
        [
            DelegatedEndpoint(
                method="POST",
                name="pruneBackups",
                summary="Remove all backups but the newest",
                tag=_TAG,
                action="prune",
                arguments=_body,
                body=backup_models.Keep,
                answer=backup_models.Pruned,
                problems={409: _AT_WORK, 502: _AWAY},
                also=_LATER,
            )
        ],
    ),
    (
        "/api/backup/verify",
        [
            DelegatedEndpoint(
                method="POST",
                name="verifyBackup",
                summary="Verify a backup by restoring it into a throwaway cluster",
                tag=_TAG,
                action="verify",
                arguments=_body,
                body=backup_models.NamedBackup,
                answer=backup_models.BackupVerification,
                problems={400: _BAD_NAME, 404: _NONE, 409: _AT_WORK, 422: _DAMAGED, 502: _AWAY},
                also=_LATER,
            )
        ],
    ),
    (
        "/api/backup/{name}",
        [
            DelegatedEndpoint(
                method="GET",
                name="getBackup",
                summary="Show what is in a backup",
                tag=_TAG,
                action="show",
                arguments=_part,
                parameter=_NAME,
                answer=backup_models.BackupDetails,
                problems={405: _VERB, 502: _AWAY},
            ),
            DelegatedEndpoint(
                method="DELETE",
                name="deleteBackup",
                summary="Remove a backup from every destination",
                tag=_TAG,
                action="delete",
                arguments=_part,
                parameter=_NAME,
                answer=backup_models.Deleted,
                problems={405: _VERB, 409: _AT_WORK, 502: _AWAY},
                also=_LATER,
            ),
        ],
    ),
    (
        "/api/backup/{name}/restore",
        [
            DelegatedEndpoint(
                method="POST",
                name="restoreBackup",
                summary="Replace what is there now by a backup; requests wait meanwhile",
                tag=_TAG,
                action="restore",
                arguments=_part_and_body,
                parameter=_NAME,
                body=backup_models.Force,
                body_required=False,
                answer=backup_models.Restored,
                problems={
                    409: f"There is data, and `force` is not true. {_AT_WORK}",
                    422: _DAMAGED,
                    502: _AWAY,
                },
                also=_LATER,
            )
        ],
    ),
    (
        WORK,
        [
            DelegatedEndpoint(
                method="GET",
                name="getBackupWork",
                summary="How work that was answered with a 202 stands, or how it ended",
                tag=_TAG,
                action="ending",
                arguments=_id,
                parameter=_WORK,
                answer=backup_models.Work,
                facts=_known,
            )
        ],
    ),
)
