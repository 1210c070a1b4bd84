"""Handing settings on to the programs that this process starts."""

import os
from dataclasses import fields

from appliance.settings.schema import Settings, as_text


def export(settings: Settings) -> None:
    """Put resolved settings into this process' environment, for the programs it starts.

    Values from NAME_FILE and generated ones reach the children this way: they may not be
    allowed to read those files.
    """
    for entry in fields(settings):
        value, name = getattr(settings, entry.name), entry.name.upper()
        os.environ.pop(f"{name}_FILE", None)
        text = None if value == entry.default else as_text(value)
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text


def set_variable(name: str, value: str) -> None:
    """Set a variable that is not ours, for a program that this process starts or becomes."""
    os.environ[name] = value
