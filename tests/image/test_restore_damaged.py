"""A backup that was damaged on its way: refused with the fault's name, and nothing is left."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.image.backup_scene import LAST_MARK, MANIFEST, Archives, restored, source
from tests.image.contained import Contained
from tests.platform import faults
from tests.platform.faults import Change, edited

DUMP = "data/backups/.hook"
TOC = "databases/appliance/toc.dat"
TORN = "the cluster beside it was copied while the database ran, so it is torn"


@pytest.fixture(scope="module")
def archives(shared: Contained, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return Archives(shared, tmp_path_factory.mktemp("archives"))


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def altered(content: bytes) -> bytes:
    return content[:20] + bytes([content[20] ^ 1]) + content[21:]


def removed(content: bytes) -> None:
    return None


def of_format_99(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "format": 99}).encode()


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (TOC, truncated, rf"is damaged: {TOC} has \d+ bytes, not \d+\."),
        (TOC, altered, f"is damaged: {TOC} was altered."),
        ("manifest.json", of_format_99, "has format 99; this version reads format 1."),
    ],
)
def test_a_damaged_dump_is_refused_and_the_torn_cluster_beside_it_is_not_taken(
    archives: Archives, tmp_path: Path, name: str, change: Change, fault: str
) -> None:
    said = refusal(archives, archives.hook, tmp_path, {f"{DUMP}/{name}": change})
    assert "post-restore failed with exit code 1" in said
    assert re.search(fault, said)
    assert TORN in said


def test_what_is_loaded_is_compared_with_the_manifest(archives: Archives, tmp_path: Path) -> None:
    def with_one_row_less(content: bytes) -> bytes:
        document = json.loads(content)
        for table in document["databases"][0]["tables"]:
            table["rows"] -= table["name"] == "public.transactions"
        return json.dumps(document).encode()

    said = refusal(archives, archives.hook, tmp_path, {MANIFEST: with_one_row_less})
    assert "differs from its manifest after loading: public.transactions." in said


def test_a_lost_manifest_is_refused_because_the_cluster_was_copied_while_it_ran(
    archives: Archives, tmp_path: Path
) -> None:
    said = refusal(archives, archives.hook, tmp_path, {MANIFEST: removed})
    assert "No dump is current, and the cluster cannot be trusted: it was copied while" in said


def test_a_manifest_alone_is_enough_to_know_that_the_cluster_is_torn(
    archives: Archives, tmp_path: Path
) -> None:
    changes = {LAST_MARK: removed, f"{DUMP}/roles.sql": removed, "data/pgdata/PG_VERSION": removed}
    said = refusal(archives, archives.hook, tmp_path, changes)
    assert "is damaged: roles.sql is missing." in said


def test_of_a_paused_copy_the_cluster_is_taken_whatever_became_of_the_older_dump(
    archives: Archives, tmp_path: Path
) -> None:
    changes = {f"{DUMP}/manifest.closed.json": removed, f"{DUMP}/{TOC}": altered}
    archive = edited(archives.paused, tmp_path / "edited", changes)
    with restored(archives.platform, archive) as appliance:
        archives.books.check(appliance, archives.in_paused, exactly=True)
        assert source(appliance) == "pgdata"


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("global/pg_control", altered, "pg_control is damaged"),
        ("", altered, "invalid page in block"),
    ],
)
def test_a_damaged_cluster_of_a_paused_copy_is_refused_by_the_name_of_the_fault(
    archives: Archives, tmp_path: Path, name: str, change: Change, fault: str
) -> None:
    path = f"data/pgdata/{name or archives.table}"
    assert fault in refusal(archives, archives.paused, tmp_path, {path: change})


def refusal(archives: Archives, archive: Path, folder: Path, changes: Mapping[str, Change]) -> str:
    """What the user reads when an archive with these changes is restored; nothing is left of it."""
    damaged = edited(archive, folder / "damaged", changes)
    before = everything(archives)
    said = faults.refusal(archives.platform, damaged)
    assert everything(archives) == before
    return said


def everything(archives: Archives) -> set[str | None]:
    """All containers and volumes of the platform; parallel tests have another one."""
    client, ours = archives.platform.client, f"{archives.platform.containers.namespace}-"
    containers = client.containers.list(all=True, ignore_removed=True)
    names = {*(one.name for one in containers), *(one.name for one in client.volumes.list())}
    return {name for name in names if str(name).startswith(ours)}
