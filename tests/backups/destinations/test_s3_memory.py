"""What a large file costs in memory, measured in a process of its own."""

import time
from pathlib import Path

from appliance.backups.format.backup_name import BackupName
from tests.backups.destinations import backups, children
from tests.backups.destinations.lines import Line
from tests.backups.destinations.places import BucketPlace
from tests.backups.destinations.servers import Server

SIZES_MIB = (24, 80)
MOST_GROWTH_MIB = 16
MOST_MIB = 120


def test_memory_does_not_grow_with_the_file(moto: Server, tmp_path: Path) -> None:
    stored, received = [], []
    for size_mib in SIZES_MIB:
        source, target = tmp_path / f"{size_mib}", tmp_path / f"from{size_mib}"
        manifest = backups.make_large(source, size_mib)
        target.mkdir()
        place = BucketPlace(moto)
        stored.append(_peak_over_a_slow_line(place, source))
        received.append(children.peak_bytes(place.spec, "fetch", target))
        assert place.destination.read_manifest(BackupName("large")) == manifest
        assert (target / "b-large.dat").stat().st_size == manifest.files[1].size
    for small, large in (stored, received):
        assert large - small < MOST_GROWTH_MIB * backups.MIB
        assert large < MOST_MIB * backups.MIB


def _peak_over_a_slow_line(place: BucketPlace, source: Path) -> int:
    # Whatever is read ahead of a fast line is sent at once, and never seen in memory.
    with Line(place.server.port) as line:
        line.request = _slowly
        return children.peak_bytes({**place.spec, "endpoint": line.endpoint}, "store", source)


def _slowly(data: bytes) -> bytes:
    time.sleep(0.001)
    return data
