"""What is in a dump: rows and a checksum of each table, read from the script that pg_dump and
pg_restore write.

The same reading of an archive and of the database that was made from it must be equal: rows come
back in the order in which they were copied.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import IO, cast

from appliance.backups.manifest import Table

_BUFFER_BYTES = 1 << 18
_COPY, _FROM = b"COPY ", b" FROM stdin;\n"
_END = b"\n\\.\n"
# Sequences' values and large objects are statements.
_STATEMENT = b"SELECT pg_catalog."
# Which pg_dump writes at the head of each script.
_PROLOGUE = _STATEMENT + b"set_config("
_OBJECT_BEGINS, _OBJECT_ENDS = _STATEMENT + b"lo_open(", _STATEMENT + b"lo_close("


@dataclass
class Contents:
    """Every table, and a checksum over all else that is data, whatever its order."""

    tables: list[Table] = field(default_factory=list)
    others: int = 0

    @property
    def others_hex(self) -> str:
        """The checksum of what is no table, as the manifest has it."""
        return f"{self.others % (1 << 256):064x}"


def read(script: IO[bytes]) -> Contents:
    """Read a data-only script to its end; uses less than a MB, whatever its size."""
    reader = _Reader(script)
    contents = Contents()
    while (line := reader.line()) is not None:
        if line.startswith(_COPY):
            contents.tables.append(_table(_name(reader.rest_of(line, b'"')), reader))
        elif line.startswith(_STATEMENT) and not line.startswith(_PROLOGUE):
            contents.others += _other(line, reader)
    contents.tables.sort(key=lambda table: table.name)
    return contents


def in_order(script: IO[bytes]) -> Iterator[bytes | memoryview]:
    """The script, changed so that rows come to lie in the order in which they are in it.

    In a table that was truncated in the same transaction, COPY looks for no room between rows.
    A part is good until the next one is asked for.
    """
    reader = _Reader(script)
    while (line := reader.line()) is not None:
        if not line.startswith(_COPY):
            yield line
            continue
        header = reader.rest_of(line, b'"')
        yield b"BEGIN;\nTRUNCATE TABLE ONLY " + _name(header).encode() + b";\n" + header
        for begin, end in reader.blocks():
            yield reader.view[begin:end]
        yield _END[1:] + b"COMMIT;\n"


def _name(header: bytes) -> str:
    """The table's name as SQL has it; its columns follow in brackets, if it has any."""
    text = header[len(_COPY) : -len(_FROM)].decode(errors="backslashreplace")
    quoted = False
    for position, letter in enumerate(text):
        quoted ^= letter == '"'
        if letter == "(" and not quoted:
            return text[:position].rstrip()
    return text.rstrip()


def _other(line: bytes, reader: "_Reader") -> int:
    """The checksum of one statement, or of all that make one large object."""
    digest = hashlib.sha256(reader.rest_of(line, b"'"))
    if line.startswith(_OBJECT_BEGINS):
        while not line.startswith(_OBJECT_ENDS) and (more := reader.line()) is not None:
            digest.update(line := more)
    return int.from_bytes(digest.digest())


def _table(name: str, reader: "_Reader") -> Table:
    digest, rows, size = hashlib.sha256(), 0, 0
    for begin, end in reader.blocks():
        digest.update(reader.view[begin:end])
        rows += reader.buffer.count(b"\n", begin, end)
        size += end - begin
    return Table(name, rows, size, digest.hexdigest())


class _Reader:
    """Lines, and between them the blocks of one table's data, in a buffer that is used again.

    From `_begin` to `_end` it holds what was read and not taken. The byte before stays in it: it
    is the end of a line when a table begins.
    """

    def __init__(self, script: IO[bytes]) -> None:
        self._script = cast("BufferedIOBase", script)
        self.buffer = bytearray(_BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self._begin = self._end = 1

    def line(self) -> bytes | None:
        """The next line; None at the end."""
        while (end := self.buffer.find(b"\n", self._begin, self._end)) < 0:
            if not self._fill():
                return None
        line = bytes(self.view[self._begin : end + 1])
        self._begin = end + 1
        return line

    def rest_of(self, line: bytes, quote: bytes) -> bytes:
        """The whole statement that begins with this line: a name may hold the end of a line."""
        while line.count(quote) % 2 and (more := self.line()) is not None:
            line += more
        return line

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Where in the buffer data lies, block by block, up to the line that ends it."""
        while (end := self.buffer.find(_END, self._begin - 1, self._end)) < 0:
            # The end may come with what is read next, so its first bytes wait for it.
            yield self._take(max(self._begin, self._end - len(_END) + 1))
            if not self._fill():
                raise EOFError("the data of a table has no end")
        yield self._take(end + 1)
        self._begin = end + len(_END)

    def _take(self, end: int) -> tuple[int, int]:
        begin, self._begin = self._begin, end
        return begin, end

    def _fill(self) -> bool:
        rest = self._end - self._begin + 1
        self.buffer[:rest] = self.buffer[self._begin - 1 : self._end]
        self._begin, self._end = 1, rest
        if rest == len(self.buffer):
            # One line fills it.
            self.buffer = self.buffer + bytes(rest)
            self.view = memoryview(self.buffer)
        count = self._script.readinto1(self.view[rest:])
        self._end += count
        return count > 0
