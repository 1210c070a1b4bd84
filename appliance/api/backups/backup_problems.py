"""Errors of work on backups, as problems (RFC 9457)."""

from appliance.backups import backup_errors
from appliance.backups.backup_errors import BadRequestError
from appliance.backups.format.backup_name import BackupName
from appliance.errors import ApplianceError, DatabaseError
from appliance.web.problems import ProblemError

_PROBLEMS: dict[type[ApplianceError], tuple[int, str]] = {
    BadRequestError: (400, "bad-backup-name"),
    backup_errors.NotFoundError: (404, "no-such-backup"),
    backup_errors.ConflictError: (409, "backup-conflict"),
    backup_errors.DamagedError: (422, "backup-damaged"),
    backup_errors.KeyRefusedError: (422, "backup-key-refused"),
    backup_errors.DestinationError: (502, "destination-unusable"),
}
_OTHER = (500, "backup-failed")
_RETRY_AFTER_S = 5


def problem(error: ApplianceError) -> ProblemError:
    """The answer to a request whose work ended so."""
    if isinstance(error, DatabaseError):
        return unavailable(str(error))
    status, kind = _PROBLEMS.get(type(error), _OTHER)
    return ProblemError(status, str(error), kind=kind)


def unavailable(detail: str) -> ProblemError:
    """A 503: nobody can work on backups now."""
    headers = {"Retry-After": str(_RETRY_AFTER_S)}
    return ProblemError(503, detail, kind="backups-unavailable", headers=headers)


def check_backup_name(text: str) -> BackupName:
    """Return the name of a backup; raises a 400 for what cannot be one."""
    try:
        return BackupName(text)
    except BadRequestError as error:
        raise problem(error) from error
