"""What every destination does with a backup that is damaged or not whole."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.backups.backup_errors import DamagedError
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import FILE
from tests.backups.destinations import backups
from tests.backups.destinations.places import Place

GENERATED = "appliance-2026-11-20-030000-0a1b"


@pytest.mark.parametrize("name", ["nightly", GENERATED])
def test_without_its_manifest_a_backup_is_shown_and_removed_and_nothing_else(
    place: Place, source: Path, fetched: Path, name: str
) -> None:
    manifest = backups.make(source, name)
    place.destination.store(manifest, source, backups.ignore)
    place.remove(f"{name}/{FILE}")
    (entry,) = place.destination.list_manifests()
    assert (entry.name, entry.manifest) == (name, None)
    assert f"{name} is damaged: it has no {FILE}" in str(entry.fault)
    read, fetch, delete = backups.every_use_of(place.destination, manifest, fetched)
    for act in (read, fetch):
        with pytest.raises(DamagedError, match=f"has no {FILE}"):
            act()
    assert backups.contents(fetched) == {}
    delete()
    assert place.keys() == set()


def test_half_a_copy_of_one_that_was_called_after_the_time_is_no_secret(place: Place) -> None:
    place.write(f"{GENERATED}/databases/appliance/toc.dat", b"the first file")
    (entry,) = place.destination.list_manifests()
    assert entry.name == GENERATED
    assert f"has no {FILE}" in str(entry.fault)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"\xff\x00 no JSON", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"format": 99}', "format 99"),
    ],
)
def test_a_damaged_one_does_not_hide_the_others(
    place: Place, source: Path, document: bytes, words: str
) -> None:
    for name in ("a", "b", "c"):
        place.destination.store(backups.make(source, name), source, backups.ignore)
    place.write(f"b/{FILE}", document)
    a, b, c = place.destination.list_manifests()
    assert a.manifest
    assert c.manifest
    assert b.manifest is None
    assert words in str(b.fault)
    with pytest.raises(DamagedError, match=words):
        place.destination.read_manifest(BackupName("b"))


def test_a_manifest_under_another_name_is_no_backup(place: Place, source: Path) -> None:
    place.destination.store(backups.make(source, "a"), source, backups.ignore)
    other = replace(backups.make(source, "a"), name=BackupName("other"))
    place.write(f"a/{FILE}", json.dumps(other.to_json()).encode())
    held = f"{place.destination.where}/a holds the backup other."
    with pytest.raises(DamagedError, match=re.escape(held)) as refused:
        place.destination.read_manifest(BackupName("a"))
    assert "Rename the folder back to other" in refused.value.hint
    (entry,) = place.destination.list_manifests()
    assert str(entry.fault) == str(refused.value)


@pytest.mark.parametrize(
    "content", [b"Create ROLE reader;\n", b"CREATE ROLE", b"", b"C" * 2_000_000]
)
def test_an_altered_file_is_named_and_not_delivered(
    place: Place, source: Path, fetched: Path, content: bytes
) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    place.write("nightly/roles.sql", content)
    with pytest.raises(DamagedError, match=r"nightly is damaged: roles\.sql"):
        place.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched).items() <= backups.SMALL.items()
    assert not (fetched / "roles.sql").exists()


def test_a_missing_file_is_named(place: Place, source: Path, fetched: Path) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    place.remove("nightly/dump/toc.dat")
    with pytest.raises(DamagedError, match=r"dump/toc\.dat is missing"):
        place.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched).items() <= backups.SMALL.items()


@pytest.mark.parametrize(
    ("content", "fault"), [(None, "is missing"), (b"short", "has 5 bytes, not 21")]
)
def test_a_file_that_is_missing_or_of_another_size_shows_in_the_list(
    place: Place, source: Path, content: bytes | None, fault: str
) -> None:
    place.destination.store(backups.make(source), source, backups.ignore)
    place.remove("nightly/dump/toc.dat")
    if content is not None:
        place.write("nightly/dump/toc.dat", content)
    (entry,) = place.destination.list_manifests()
    assert entry.manifest is None
    assert f"dump/toc.dat {fault}" in str(entry.fault)


def test_a_damaged_backup_can_be_deleted(place: Place, source: Path) -> None:
    place.destination.store(backups.make(source), source, backups.ignore)
    place.write(f"nightly/{FILE}", b"no JSON")
    place.destination.delete(BackupName("nightly"))
    assert place.keys() == set()
