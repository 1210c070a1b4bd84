"""One contract, whatever a destination is made of."""

from pathlib import Path

import pytest

from appliance.backups.backup_errors import ConflictError, DamagedError, NotFoundError
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import FILE
from tests.backups.destinations import backups, children
from tests.backups.destinations.places import Place

KILLED_MIB = 24
GENERATED = "appliance-2026-11-20-030000-0a1b"


def test_a_backup_comes_back_as_it_was(place: Place, source: Path, fetched: Path) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    assert place.destination.read_manifest(BackupName("nightly")) == manifest
    place.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.SMALL


def test_it_is_a_folder_of_the_files_and_the_manifest(place: Place, source: Path) -> None:
    place.destination.store(backups.make(source), source, backups.ignore)
    assert place.keys() == {f"nightly/{path}" for path in (*backups.SMALL, FILE)}


def test_every_byte_is_reported_once(place: Place, source: Path, fetched: Path) -> None:
    manifest = backups.make(source)
    stored: list[int] = []
    place.destination.store(manifest, source, stored.append)
    assert sum(stored) == manifest.size
    received: list[int] = []
    place.destination.fetch(manifest, fetched, received.append)
    assert sum(received) == manifest.size


def test_backups_are_listed_by_name(place: Place, source: Path) -> None:
    assert place.destination.list_manifests() == []
    for name in ("b", "a", "c.2"):
        place.destination.store(backups.make(source, name), source, backups.ignore)
    assert [entry.name for entry in place.destination.list_manifests()] == ["a", "b", "c.2"]
    assert all(entry.manifest for entry in place.destination.list_manifests())


def test_a_name_that_is_taken_is_left_alone(place: Place, source: Path, fetched: Path) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    other = backups.make(source, contents={"roles.sql": b"altogether different"})
    with pytest.raises(ConflictError, match="nightly"):
        place.destination.store(other, source, backups.ignore)
    place.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.SMALL


def test_what_is_not_there_is_said_to_be_missing(place: Place, source: Path, fetched: Path) -> None:
    place.destination.store(backups.make(source), source, backups.ignore)
    for name in ("other", GENERATED):
        for act in backups.every_use_of(place.destination, backups.make(source, name), fetched):
            with pytest.raises(NotFoundError, match=name):
                act()


def test_what_is_not_ours_is_neither_listed_nor_removed(place: Place, source: Path) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    ours = place.keys()
    foreign = {
        "notes.txt",
        "photos/1.jpg",
        "my-photos/2026/1.jpg",
        "@eaDir/roles.sql",
        "lost+found/roles.sql",
        "databases/appliance/toc.dat",
        "a b/manifest.json",
        f".hook/{FILE}",
        "x/y/manifest.json",
    }
    for key in foreign:
        place.write(key, b"{}")
    assert [entry.name for entry in place.destination.list_manifests()] == ["nightly"]
    place.destination.clean(0)
    assert place.keys() == ours | foreign
    place.destination.delete(BackupName("nightly"))
    assert place.keys() == foreign


@pytest.mark.parametrize(
    "content", [b"Create ROLE reader;\n", b"CREATE ROLE", b"C" * 2_000_000, None]
)
def test_a_source_that_is_not_as_its_manifest_says_is_refused(
    place: Place, source: Path, content: bytes | None
) -> None:
    manifest = backups.make(source)
    right = (source / "roles.sql").read_bytes()
    (source / "roles.sql").unlink()
    if content is not None:
        (source / "roles.sql").write_bytes(content)
    copied: list[int] = []
    with pytest.raises(DamagedError, match=r"roles\.sql"):
        place.destination.store(manifest, source, copied.append)
    assert sum(copied) <= manifest.size
    assert place.destination.list_manifests() == []
    (source / "roles.sql").write_bytes(right)
    place.destination.store(manifest, source, backups.ignore)
    assert place.destination.read_manifest(BackupName("nightly")) == manifest


def test_a_deleted_backup_leaves_nothing(place: Place, source: Path) -> None:
    manifest = backups.make(source)
    place.destination.store(manifest, source, backups.ignore)
    assert place.destination.delete(BackupName("nightly")) >= manifest.size
    assert place.keys() == set()
    with pytest.raises(NotFoundError, match="nightly"):
        place.destination.delete(BackupName("nightly"))


def test_a_process_killed_in_the_middle_leaves_nothing_that_claims_to_be_a_backup(
    place: Place, source: Path, fetched: Path
) -> None:
    manifest = backups.make_large(source, KILLED_MIB)
    children.kill_in_the_middle(place.spec, source)
    left = place.keys()
    assert left
    assert place.destination.list_manifests() == []
    place.destination.clean()
    assert place.keys() == left, "it is younger than a day, so it may still be written"
    place.destination.store(manifest, source, backups.ignore)
    place.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.contents(source)


def test_what_a_killed_process_left_can_be_cleaned_away(place: Place, source: Path) -> None:
    backups.make_large(source, KILLED_MIB)
    children.kill_in_the_middle(place.spec, source)
    assert place.keys()
    place.destination.clean(0)
    assert place.keys() == set()
