"""The image's size, without an engine."""

import gzip
from collections.abc import Iterator

from bench import image


class FakeImage:
    def save(self) -> Iterator[bytes]:
        yield from (b"layer " * 1000, b"manifest")


def test_what_is_counted_is_a_gzip_file_of_what_the_engine_saves() -> None:
    packed = b"".join(image.packed(FakeImage()))
    assert gzip.decompress(packed) == b"layer " * 1000 + b"manifest"
