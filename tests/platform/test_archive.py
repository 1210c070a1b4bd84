"""The backup archive is as flawed as the real one."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.platform import archive


def storage_tar(tmp_path: Path, with_hardlink: bool) -> io.BytesIO:
    """What Docker would send: a tar of /storage."""
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / "first").write_text("the content")
    if with_hardlink:
        (storage / "second").hardlink_to(storage / "first")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(storage, "storage")
    buffer.seek(0)
    return buffer


def copied(source: io.BytesIO) -> tarfile.TarFile:
    """The same entries under data/."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as target:
        archive.copy_entries(source, target, "storage")
    buffer.seek(0)
    return tarfile.open(fileobj=buffer)


def test_entries_are_moved_below_data_with_their_content(tmp_path: Path) -> None:
    tar = copied(storage_tar(tmp_path, with_hardlink=False))
    assert tar.getnames() == ["data", "data/first"]
    content = tar.extractfile("data/first")
    assert content is not None
    assert content.read() == b"the content"


def test_the_target_of_a_hardlink_keeps_the_old_name(tmp_path: Path) -> None:
    tar = copied(storage_tar(tmp_path, with_hardlink=True))
    [link] = [member for member in tar.getmembers() if member.islnk()]
    assert link.name.startswith("data/")
    assert link.linkname.startswith("storage/")


def test_an_archive_with_a_hardlink_cannot_be_unpacked(tmp_path: Path) -> None:
    tar = copied(storage_tar(tmp_path, with_hardlink=True))
    with pytest.raises((OSError, KeyError)):
        tar.extractall(tmp_path / "restored", filter="fully_trusted")  # noqa: S202 - made by this test


def test_chunks_are_read_as_one_stream() -> None:
    stream = io.BufferedReader(archive.Stream([b"ab", b"", b"cde"]), 4)
    assert stream.read(2) == b"ab"
