"""What is kept is that commit, and each appliance of these tests runs the code that it should."""

import re
import tarfile
from pathlib import Path

import pytest

from tests.compatibility.builds import PACKAGE, ROOT, Build
from tests.compatibility.conftest import Make

COMMIT = "7b1dafa9253ca7b796354db68fe9f8d84f7c3693"
# What Python says of each module that it loads, under PYTHONVERBOSE.
_LOADED = re.compile(r"(?:code object from|matches) (/\S+)/appliance/[\w/]+\.py\b")


def test_the_package_is_an_archive_of_that_commit() -> None:
    with tarfile.open(PACKAGE) as package:
        assert package.pax_headers["comment"] == COMMIT


@pytest.mark.parametrize("build", Build, ids=lambda build: build.value)
def test_all_its_programs_load_their_modules_from_where_its_build_lies(
    make: Make, old_build: Path, build: Build
) -> None:
    appliance = make(build)
    appliance.variables["PYTHONVERBOSE"] = "1"
    appliance.start().wait_until_up()
    root = {Build.OLD: old_build, Build.NEW: ROOT}[build]
    assert set(_LOADED.findall(appliance.log)) == {str(root)}
    assert set(_LOADED.findall(appliance.run("status").stderr)) == {str(root)}
