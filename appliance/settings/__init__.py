"""The environment contract: one typed schema, read once, every fault reported together.

A field's name in upper case is its variable; `NAME_FILE` names a file that holds the value. An
empty value counts as unset. Nothing outside this package reads the environment.
"""

from appliance.settings.environment import Environment, load, log_format
from appliance.settings.exporting import export, set_variable
from appliance.settings.schema import APPS, Settings, Variable, variables
from appliance.settings.secret_rules import (
    PLACEHOLDERS,
    SECRET_MIN_BITS,
    SECRET_MIN_CHARACTERS,
    entropy_bits,
    generate_secret,
)
from appliance.settings.table import example, table

__all__ = [
    "APPS",
    "PLACEHOLDERS",
    "SECRET_MIN_BITS",
    "SECRET_MIN_CHARACTERS",
    "Environment",
    "Settings",
    "Variable",
    "entropy_bits",
    "example",
    "export",
    "generate_secret",
    "load",
    "log_format",
    "set_variable",
    "table",
    "variables",
]
