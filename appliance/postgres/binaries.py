"""Where the Postgres 16 programs are: unpacked from the pinned wheel into this environment."""

import sys
from pathlib import Path

from appliance.errors import ApplianceError

MAJOR_VERSION = 16


def folder() -> Path:
    """The folder of Postgres' programs."""
    return Path(sys.prefix, "postgresql", "bin")


def libraries() -> Path:
    """The folder of Postgres' libraries; its extensions look for libpq where they were built."""
    return Path(sys.prefix, "postgresql", "lib")


def program(name: str) -> Path:
    """The absolute path of one program; fails with a sentence if it is missing."""
    path = folder() / name
    if not path.is_file():
        raise ApplianceError(
            f"The Postgres program {name} is not at {path}.",
            "Set it up again: make clean, then make up.",
        )
    return path
