"""Fixtures: a storage with what a copy is known by."""

from pathlib import Path

import pytest

from appliance.storage.paths import Storage
from tests.hooks.marks import bare_storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A storage with what the window needs, and no Postgres."""
    return bare_storage(tmp_path / "s")
