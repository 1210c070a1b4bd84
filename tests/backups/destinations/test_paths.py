"""A manifest in a destination was written by whoever can write there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.backups.backup_errors import DamagedError
from appliance.backups.format.manifest import FILE, File
from tests.backups.destinations import backups
from tests.backups.destinations.places import Place

OUTSIDE = ["../outside", "dump/../../outside", "/tmp/outside", "a//b", "./a", ""]


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
        place.destination.read_manifest("nightly")
    assert place.destination.list_manifests()[0].fault


@pytest.mark.parametrize("path", [*OUTSIDE, FILE, ".staging", "a\0b"])
def test_nothing_is_copied_by_such_a_manifest(
    place: Place, source: Path, fetched: Path, path: str
) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    evil = backups.with_file(manifest, File(path, 1, "0" * 64))
    with pytest.raises(DamagedError, match="names"):
        place.destination.fetch(evil, fetched, backups.ignore)
    assert backups.contents(fetched) == {}
    with pytest.raises(DamagedError, match="names"):
        place.destination.store(replace(evil, name="evil"), source, backups.ignore)
    left = place.keys()
    assert not any(key.startswith("evil") for key in left)
