"""Reading the environment: every value is checked, and every fault is told at once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.errors import SettingsError
from appliance.settings import foreign
from appliance.settings.schema import Settings, Variable, defaults, variables
from appliance.settings.secret_rules import (
    SECRET_MIN_BITS,
    SECRET_MIN_CHARACTERS,
    entropy_bits,
    is_weak,
)

_SHOWN_CHARACTERS = 80
_FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Environment:
    """Settings that were read, with what deserves a warning."""

    settings: Settings
    warnings: tuple[str, ...]


def load(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check the environment; raises SettingsError that names every fault at once."""
    reader = _Reader(os.environ if environ is None else environ)
    for name, variable in variables().items():
        reader.read(name, variable)
    reader.faults += foreign.faults(reader.source)
    if reader.faults:
        raise _all_together(reader.faults)
    settings = Settings(**reader.values)
    warnings = (*reader.warnings, *foreign.warnings(reader.source), *_weak_secrets(settings))
    return Environment(settings, warnings)


def log_format() -> str:
    """The setting LOG_FORMAT alone, so that faults of the others can be told in it."""
    reader = _Reader(os.environ)
    reader.read("LOG_FORMAT", variables()["LOG_FORMAT"])
    return str(reader.values.get("log_format", Settings.log_format))


@dataclass
class _Reader:
    """Collects values, faults and warnings, one variable at a time."""

    source: Mapping[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read(self, name: str, variable: Variable) -> None:
        direct, file = self.source.get(name, ""), self.source.get(f"{name}_FILE", "")
        if direct and file:
            self.faults.append(f"{name} and {name}_FILE are both set. Unset one of them.")
            return
        text = self._from_file(name, variable, file) if file else direct
        if text:
            self._parse(name, variable, text)

    def _from_file(self, name: str, variable: Variable, file: str) -> str:
        try:
            text = _read_file(Path(file))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            # Not the path of a secret: it may be the secret itself, under the wrong name.
            self.faults.append(
                f"{name}_FILE={_shown(file, variable)} cannot be read: {reason}. "
                "Name a text file that this user may read."
            )
            return ""
        if not text:
            self.warnings.append(f"{name}_FILE names an empty file, so {name} counts as unset.")
        return text

    def _parse(self, name: str, variable: Variable, text: str) -> None:
        try:
            self.values[name.lower()] = variable.rule.parse(text)
        except ValueError:
            self.faults.append(
                f"{name}={_shown(text, variable)} must be {variable.rule.text}. "
                f"{_hint(name, variable)}"
            )


def _read_file(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise OSError(0, "it is not a file")
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES + 1)
    if len(content) > _FILE_BYTES:
        raise OSError(0, f"it holds more than {_FILE_BYTES // 1024} KiB")
    return content.decode("utf-8").strip()


def _all_together(faults: list[str]) -> SettingsError:
    count = "One setting" if len(faults) == 1 else f"{len(faults)} settings"
    return SettingsError(
        f"{count} in the environment cannot be used:\n"
        + "\n".join(f"  - {fault}" for fault in faults),
        "See every setting with `appliance env`.",
    )


def _shown(text: str, variable: Variable) -> str:
    if variable.secret:
        return "(not shown)"
    cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return ascii(cut) if not cut.isprintable() else repr(cut)


def _hint(name: str, variable: Variable) -> str:
    if variable.secret and not variable.given:
        return "Make one with `appliance gen-secret`."
    default = defaults()[name]
    return f"Unset it to have {default}." if default else "Unset it if you do not need it."


def _weak_secrets(settings: Settings) -> list[str]:
    found = (
        (name, getattr(settings, name.lower()))
        for name, variable in variables().items()
        if variable.secret and not variable.given
    )
    return [
        f"{name} is weak ({len(secret)} characters, {entropy_bits(secret):.0f} bits; "
        f"{SECRET_MIN_CHARACTERS} and {SECRET_MIN_BITS} are wanted). "
        "Make one with `appliance gen-secret`."
        for name, secret in found
        if secret and is_weak(secret)
    ]
