"""What can go wrong, said once: a sentence, a next step and an exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `appliance` command and of the container. Documented in docs/cli.md."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    SETTINGS = 3
    STORAGE = 4
    SCHEMA = 5
    DATABASE = 6


# Trying again cannot help with these, so the supervisor ends the container at once.
FINAL = frozenset({ExitCode.SETTINGS, ExitCode.STORAGE, ExitCode.SCHEMA})


class ApplianceError(Exception):
    """An error for people: `message` says what is wrong and where, `hint` what to do."""

    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, hint: str = "", exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SettingsError(ApplianceError):
    """The environment breaks its contract."""

    exit_code = ExitCode.SETTINGS


class StorageError(ApplianceError):
    """The storage cannot be used as it is; nothing in it was changed."""

    exit_code = ExitCode.STORAGE


class DiskSpaceError(ApplianceError):
    """A disk has too little room for it; nothing was changed."""


class SchemaError(ApplianceError):
    """The database's schema is not what this version needs."""

    exit_code = ExitCode.SCHEMA


class DatabaseError(ApplianceError):
    """The database cannot be reached or does not answer in time."""

    exit_code = ExitCode.DATABASE
