"""The ETag that an S3 server makes of the bytes it has: shows whether all of it arrived."""

import hashlib
from collections.abc import Iterable, Iterator

from appliance.backups.destinations.copying import BLOCK_BYTES, Block

_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000


def part_bytes(size: int) -> int:
    """In parts of how many bytes a file is sent: 8 MiB, and more above 78 GiB, as S3 has it.

    >>> part_bytes(1 << 30), part_bytes(100 << 30)
    (8388608, 11534336)
    """
    blocks = -(-size // (_MOST_PARTS * BLOCK_BYTES))
    return max(_PART_BYTES, blocks * BLOCK_BYTES)


class ETag:
    """Computes the ETag of a file: the MD5 of its bytes, or that of the MD5s of its parts.

    Servers that encrypt with KMS, and R2 for parts, have others; those say nothing.
    """

    def __init__(self, size: int) -> None:
        self._part = part_bytes(size)
        self._in_parts = size > self._part
        self._digests: list[bytes] = []
        self._digest = _md5()
        self._filled = 0

    def over(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks of 1 MiB on and compute; the last one may be smaller."""
        for block in blocks:
            self._digest.update(block)
            self._filled += len(block)
            if self._in_parts and self._filled == self._part:
                self._end_part()
            yield block
        if self._in_parts and self._filled:
            self._end_part()

    def __str__(self) -> str:
        if not self._in_parts:
            return self._digest.hexdigest()
        return f"{_md5(b''.join(self._digests)).hexdigest()}-{len(self._digests)}"

    def _end_part(self) -> None:
        self._digests.append(self._digest.digest())
        self._digest, self._filled = _md5(), 0


def _md5(content: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(content, usedforsecurity=False)
