"""What one check found."""

from dataclasses import dataclass, replace
from typing import Literal

from appliance.errors import ApplianceError
from appliance.facts import StorageFacts
from appliance.settings import Settings
from appliance.storage.paths import Storage

State = Literal["ok", "warning", "problem"]

RUN_AS = "Run this as root, or as the user that the appliance runs as."


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    settings: Settings
    facts: StorageFacts

    @property
    def storage(self) -> Storage:
        """Where everything lies."""
        return self.facts.storage


@dataclass(frozen=True)
class Finding:
    """The state of one thing; `hint` says what to do, if anything."""

    check: str
    state: State
    text: str
    hint: str = ""

    def named(self, check: str) -> "Finding":
        """The same finding under the name of its check."""
        return replace(self, check=check)


def ok(text: str) -> Finding:
    """All is well."""
    return Finding("", "ok", text)


def warning(text: str, hint: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding("", "warning", text, hint)


def problem(text: str, hint: str) -> Finding:
    """It does not work."""
    return Finding("", "problem", text, hint)


def of_error(error: ApplianceError | OSError) -> Finding:
    """A check that could not be made."""
    if isinstance(error, ApplianceError):
        return problem(error.message, error.hint)
    return problem(f"cannot be looked at: {error.strerror} ({error.filename})", RUN_AS)
