"""A manifest in a destination was written by whoever can write there."""

import json
from pathlib import Path

import pytest

from appliance.backups.backup_errors import DamagedError
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import FILE, File
from tests.backups.destinations import backups
from tests.backups.destinations.places import Place

OUTSIDE = [
    "../outside",
    "dump/../../outside",
    "/tmp/outside",
    "a//b",
    "./a",
    "",
    FILE,
    ".staging",
    "a\0b",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_manifest_that_leads_out_of_the_backup_cannot_be_read(
    place: Place, source: Path, path: str
) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    document = manifest.to_json()
    document["files"] = [{"path": path, "size": 1, "sha256": "0" * 64}]
    place.write(f"nightly/{FILE}", json.dumps(document).encode())
    with pytest.raises(DamagedError):
        place.destination.read_manifest(BackupName("nightly"))
    assert place.destination.list_manifests()[0].fault


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_file_of_a_backup_can_have_such_a_path(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be a file of a backup"):
        File(path, 1, "0" * 64)
