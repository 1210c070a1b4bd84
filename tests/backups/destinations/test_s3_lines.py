"""S3 over lines that break, alter what passes, or stay silent."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.backups.backup_errors import ConflictError, DamagedError, DestinationError
from appliance.backups.destinations.bucket import S3Credentials, S3Timeouts
from appliance.backups.destinations.s3 import S3Destination
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import FILE
from tests.backups.destinations import backups, lines
from tests.backups.destinations.lines import Line
from tests.backups.destinations.places import BucketPlace
from tests.backups.destinations.servers import BUCKET, IMPATIENT

LARGE_MIB = 24


@pytest.fixture
def line(bucket: BucketPlace) -> Iterator[Line]:
    """A line to each server."""
    with Line(bucket.server.port) as line:
        yield line


@pytest.fixture
def remote(bucket: BucketPlace, line: Line) -> S3Destination:
    """The place at the end of that line."""
    return bucket.server.destination(bucket.prefix, endpoint=line.endpoint, timeouts=IMPATIENT)


def test_a_line_cut_in_the_middle_of_an_upload_leaves_no_backup_and_store_goes_on_later(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path, fetched: Path
) -> None:
    manifest = backups.make_large(source, LARGE_MIB)
    line.cut_after = 10 * backups.MIB
    with pytest.raises(DestinationError, match=r"cannot be reached|does not answer|nobody listens"):
        remote.store(manifest, source, backups.ignore)
    assert bucket.destination.list_manifests() == []
    assert f"large/{FILE}" not in bucket.keys()  # noqa: SIM118 - it is no dictionary
    line.cut_after = None
    remote.store(manifest, source, backups.ignore)
    bucket.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.contents(source)


def test_what_is_there_already_is_not_sent_again(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path
) -> None:
    manifest = backups.make_large(source, LARGE_MIB)
    remote.store(manifest, source, backups.ignore)
    assert line.sent > manifest.size
    bucket.remove(f"large/{FILE}")
    bucket.remove("large/roles.sql")
    line.sent = 0
    reported: list[int] = []
    remote.store(manifest, source, reported.append)
    assert line.sent < backups.MIB
    assert sum(reported) == manifest.size
    assert bucket.destination.read_manifest(BackupName("large")) == manifest


def test_what_is_there_with_other_bytes_is_sent_again(
    bucket: BucketPlace, source: Path, fetched: Path
) -> None:
    manifest = backups.make(source)
    wrong = bytes(len(backups.SMALL["dump/3001.dat.gz"]))
    bucket.write("nightly/dump/3001.dat.gz", wrong)
    bucket.destination.store(manifest, source, backups.ignore)
    bucket.destination.fetch(manifest, fetched, backups.ignore)
    assert backups.contents(fetched) == backups.SMALL


@pytest.mark.parametrize("mebibytes", [1, LARGE_MIB])
def test_what_is_altered_on_its_way_is_noticed_and_not_kept(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path, mebibytes: int
) -> None:
    manifest = backups.make_large(source, mebibytes)
    middle = (source / "b-large.dat").read_bytes()[backups.MIB // 2 :][:16]
    line.request = lambda data: data.replace(middle, bytes(16))
    with pytest.raises(DestinationError, match=r"b-large\.dat did not arrive"):
        remote.store(manifest, source, backups.ignore)
    assert bucket.destination.list_manifests() == []
    assert "large/b-large.dat" not in bucket.keys()  # noqa: SIM118 - it is no dictionary


def test_a_manifest_that_is_altered_on_its_way_is_taken_back(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path
) -> None:
    line.request = lambda data: data.replace(b"16.15", b"16.16")
    with pytest.raises(DestinationError, match=f"{FILE} did not arrive"):
        remote.store(backups.make(source), source, backups.ignore)
    assert bucket.destination.list_manifests() == []


def test_a_server_whose_etags_are_of_the_content_is_not_asked_for_it_again(
    remote: S3Destination, line: Line, source: Path
) -> None:
    remote.store(backups.make_large(source, LARGE_MIB), source, backups.ignore)
    assert line.received < backups.MIB


def test_a_server_whose_etags_are_none_of_the_content_is_read_again_instead(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path
) -> None:
    manifest = backups.make(source)
    line.answer = lambda data: re.sub(
        rb'(?i)(etag: )"?[0-9a-f]{32}', lambda found: found[1] + b'"' + b"0" * 31, data
    )
    remote.store(manifest, source, backups.ignore)
    assert bucket.destination.read_manifest(BackupName("nightly")) == manifest


def test_a_manifest_whose_answer_was_lost_is_there_all_the_same(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path
) -> None:
    manifest = backups.make(source)
    remote.store(manifest, source, backups.ignore)
    bucket.remove(f"nightly/{FILE}")
    line.deaf_to = f"PUT /{BUCKET}/{bucket.prefix}/nightly/{FILE}".encode()
    remote.store(manifest, source, backups.ignore)
    assert bucket.destination.read_manifest(BackupName("nightly")) == manifest


def test_of_two_that_complete_one_name_the_second_is_refused(
    bucket: BucketPlace, source: Path, fetched: Path
) -> None:
    first = backups.make(source)
    second = backups.with_file(first, first.files[0])

    def overtake(_: int) -> None:
        if f"nightly/{FILE}" not in bucket.keys():  # noqa: SIM118 - it is no dictionary
            bucket.destination.store(first, source, backups.ignore)

    with pytest.raises(ConflictError, match="nightly"):
        bucket.destination.store(second, source, overtake)
    assert bucket.destination.read_manifest(BackupName("nightly")) == first


def test_a_large_file_that_turns_out_wrong_at_its_end_leaves_no_parts(
    bucket: BucketPlace, source: Path
) -> None:
    manifest = backups.make_large(source, LARGE_MIB)
    with (source / "b-large.dat").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    with pytest.raises(DamagedError, match=r"b-large\.dat was altered"):
        bucket.destination.store(manifest, source, backups.ignore)
    assert "large/b-large.dat" not in bucket.keys()  # noqa: SIM118 - it is no dictionary
    uploads = bucket.server.raw.list_multipart_uploads(Bucket=BUCKET, Prefix=bucket.prefix)
    assert not uploads.get("Uploads")


def test_what_an_interrupted_delete_left_is_no_backup_and_is_cleaned_away(
    bucket: BucketPlace, remote: S3Destination, line: Line, source: Path
) -> None:
    remote.store(backups.make(source), source, backups.ignore)
    line.request = lambda data: data.replace(b"DELETE", b"BROKEN") if b"toc.dat" in data else data
    with pytest.raises(DestinationError):
        remote.delete(BackupName("nightly"))
    assert bucket.destination.list_manifests() == []
    assert "nightly/dump/toc.dat" in bucket.keys()  # noqa: SIM118 - it is no dictionary
    bucket.destination.clean(0)
    assert bucket.keys() == set()


def test_a_server_that_never_answers_is_given_up(source: Path) -> None:
    timeouts = S3Timeouts(connect=0.3, answer=0.3, transfer=60, retry=0.5, retries=9)
    manifest = backups.make(source)
    with lines.silent() as endpoint:
        nobody = S3Destination("r2", BUCKET, "", endpoint, None, S3Credentials("a", "b"), timeouts)
        began = time.monotonic()
        with pytest.raises(DestinationError, match="does not answer in time"):
            nobody.store(manifest, source, backups.ignore)
        took_s = time.monotonic() - began
    assert took_s < _longest_s(timeouts) + 2


def test_by_default_silence_is_given_up_within_half_a_minute() -> None:
    assert _longest_s(S3Timeouts()) <= 28


def _longest_s(timeouts: S3Timeouts) -> float:
    # The last try may begin just before `retry` is over.
    return timeouts.retry + max(timeouts.answer, timeouts.connect)
