"""What goes wrong with backups, by kind: callers answer each in their own way."""

from appliance.errors import ApplianceError, ExitCode


class BackupError(ApplianceError):
    """A backup could not be made, read or restored; nothing else was changed."""


class BadRequestError(BackupError):
    """What was asked for cannot be meant: a name that is none, an unknown destination."""

    exit_code = ExitCode.USAGE


class NotFoundError(BackupError):
    """There is no such backup."""


class ConflictError(BackupError):
    """It would overwrite something, or something else is under way."""


class DamagedError(BackupError):
    """A backup is not what its manifest says."""


class KeyRefusedError(BackupError):
    """The key or passphrase at hand does not open the backup."""


class DestinationError(BackupError):
    """A place where backups are kept cannot be reached or used."""
