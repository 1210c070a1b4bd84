"""Commit 7b1dafa, kept whole: every change must be able to take from it, and to give back to it.

The package was made with

    git archive 7b1dafa appliance rootfs hooks requirements pyproject.toml | xz -9e

and is never made anew. It runs on the interpreter, the libraries and the Postgres of this checkout,
and finds itself by PYTHONPATH, which comes before the checkout.
"""

import compileall
import hashlib
import tarfile
from enum import Enum
from pathlib import Path

from tests.harness.appliance import Appliance

PACKAGE = Path(__file__).with_name("appliance-7b1dafa.tar.xz")
SHA256 = "11e77869e086b4b38b9e39d8ccd741e0321ad1f66eb318a7c7c18ee759459bce"
ROOT = Path(__file__).parents[2]


class Build(Enum):
    """Who runs: the commit that is kept, or this checkout."""

    OLD = "7b1dafa"
    NEW = "this build"

    @property
    def other(self) -> "Build":
        """The one that is not this."""
        return Build.NEW if self is Build.OLD else Build.OLD


class OneBuild(Appliance):
    """An appliance of either build: what is done to its storage is done by its own programs."""

    def key(self) -> str:
        """An API key, made once with the command."""
        if self._key is None:
            made = self.run("keys", "create", f"tests-{self.port}")
            self._key = made.stdout.splitlines()[-1]
        return self._key


def unpack(folder: Path) -> Path:
    """Unpack the package and return its root, which any user may read."""
    assert hashlib.sha256(PACKAGE.read_bytes()).hexdigest() == SHA256, f"{PACKAGE} was changed"
    with tarfile.open(PACKAGE) as package:
        package.extractall(folder, filter="data")
    # The users that its programs run as cannot keep what they compile.
    assert compileall.compile_dir(folder / "appliance", quiet=1)
    return folder
