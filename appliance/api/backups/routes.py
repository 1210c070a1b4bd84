"""The paths of backups."""

import re
from datetime import UTC, datetime
from typing import Any

from appliance.api.backups import models
from appliance.api.backups.errands import WORK, Errand, Errands
from appliance.api.backups.faults import check_name
from appliance.backups import endings, names
from appliance.postgres.transact import Database
from appliance.settings import Settings
from appliance.storage import Storage
from appliance.web.endpoints import Parameter
from appliance.web.problems import ProblemError
from appliance.web.resources import Asked

_TAG = "backups"
_BAD_NAME = "What cannot be the name of a backup is refused, too."
_AT_WORK = "Somebody else is at work on the backups."
_AWAY = "A destination cannot be reached or used."
_DAMAGED = "The backup is damaged, or the key at hand does not open it."
_VERB = "That is no name, but a path that takes POST only."
_NONE = "There is no backup of this name."
_NAME = Parameter(
    name="name",
    schema=models.NAME_SCHEMA,
    problems={400: _BAD_NAME, 404: _NONE},
    read=check_name,
)
_NO_WORK = "There is no such work, or it is long over."


def _read_work(text: str) -> str:
    if re.fullmatch(endings.PATTERN, text) is None:
        raise ProblemError(404, _NO_WORK, kind="no-such-work")
    return text


_WORK = Parameter(
    name="id",
    schema={"type": "string", "pattern": f"^{endings.PATTERN}$"},
    problems={404: _NO_WORK},
    read=_read_work,
)
_LATER = {202: models.Running}


def resources(settings: Settings, storage: Storage, database: Database) -> dict[str, Errands]:
    """The resources by path."""
    return {
        path: Errands(path, endpoints, settings, storage, database) for path, endpoints in ENDPOINTS
    }


def _new(asked: Asked) -> dict[str, Any]:
    # A name of ours is given here already, so that a 202 can say it.
    return {"name": asked.body.name or names.generate(datetime.now(UTC))}


def _nothing(_asked: Asked) -> dict[str, Any]:
    return {}


def _body(asked: Asked) -> dict[str, Any]:
    return dict(asked.body)


def _part(asked: Asked) -> dict[str, Any]:
    return {"name": asked.part}


def _id(asked: Asked) -> dict[str, Any]:
    return {"id": asked.part}


def _known(work: dict[str, Any] | None) -> dict[str, Any]:
    if work is None:
        raise ProblemError(404, _NO_WORK, kind="no-such-work")
    return work


def _part_and_body(asked: Asked) -> dict[str, Any]:
    return _part(asked) | _body(asked)


ENDPOINTS: tuple[tuple[str, list[Errand]], ...] = (
    (
        "/api/backup",
        [
            Errand(
                method="POST",
                name="createBackup",
                summary="Back up all databases and roles, while everything runs",
                tag=_TAG,
                action="create",
                arguments=_new,
                body=models.NewBackup,
                body_required=False,
                answer=models.BackupDetails,
                status=201,
                location="/api/backup/{name}",
                problems={400: _BAD_NAME, 409: f"The name is taken. {_AT_WORK}", 502: _AWAY},
                also=_LATER,
            ),
            Errand(
                method="GET",
                name="listBackups",
                summary="List the backups of all destinations, the newest first",
                tag=_TAG,
                action="list",
                arguments=_nothing,
                answer=models.BackupList,
                problems={502: _AWAY},
            ),
        ],
    ),
    (
        "/api/backup/prune",
        [
            Errand(
                method="POST",
                name="pruneBackups",
                summary="Remove all backups but the newest",
                tag=_TAG,
                action="prune",
                arguments=_body,
                body=models.Keep,
                answer=models.Pruned,
                problems={409: _AT_WORK, 502: _AWAY},
                also=_LATER,
            )
        ],
    ),
    (
        "/api/backup/verify",
        [
            Errand(
                method="POST",
                name="verifyBackup",
                summary="Prove that a backup restores, in a throwaway cluster",
                tag=_TAG,
                action="verify",
                arguments=_body,
                body=models.NamedBackup,
                answer=models.Proof,
                problems={400: _BAD_NAME, 404: _NONE, 409: _AT_WORK, 422: _DAMAGED, 502: _AWAY},
                also=_LATER,
            )
        ],
    ),
    (
        "/api/backup/{name}",
        [
            Errand(
                method="GET",
                name="getBackup",
                summary="Show what is in a backup",
                tag=_TAG,
                action="show",
                arguments=_part,
                parameter=_NAME,
                answer=models.BackupDetails,
                problems={405: _VERB, 502: _AWAY},
            ),
            Errand(
                method="DELETE",
                name="deleteBackup",
                summary="Remove a backup from every destination",
                tag=_TAG,
                action="delete",
                arguments=_part,
                parameter=_NAME,
                answer=models.Deleted,
                problems={405: _VERB, 409: _AT_WORK, 502: _AWAY},
                also=_LATER,
            ),
        ],
    ),
    (
        "/api/backup/{name}/restore",
        [
            Errand(
                method="POST",
                name="restoreBackup",
                summary="Replace what is there now by a backup; requests wait meanwhile",
                tag=_TAG,
                action="restore",
                arguments=_part_and_body,
                parameter=_NAME,
                body=models.Force,
                body_required=False,
                answer=models.Restored,
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
            Errand(
                method="GET",
                name="getBackupWork",
                summary="How work that was answered with a 202 stands, or how it ended",
                tag=_TAG,
                action="ending",
                arguments=_id,
                parameter=_WORK,
                answer=models.Work,
                facts=_known,
            )
        ],
    ),
)
