"""Checksums of a dump: rows and a checksum of each table, read from the script that pg_dump and
pg_restore write.

The same reading of an archive and of the database that was made from it must be equal: rows come
back in the order in which they were copied.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import IO, cast

from appliance.backups.format.manifest import Table

_COLUMN = re.compile(r'"(?:[^"]|"")*"|[^",() ]+')
_BUFFER_BYTES = 1 << 18
_COPY, _FROM = b"COPY ", b" FROM stdin;\n"
_QUOTE, _BRACKET = b'"('
_END = b"\n\\.\n"
# Before the data of a partition whose rows may come to lie in another one, by the hash of a value.
_VIA_ROOT = b"-- load via partition root "
# Sequences' values and large objects are statements.
_STATEMENT = b"SELECT pg_catalog."
# Which pg_dump writes at the head of each script.
_PROLOGUE = _STATEMENT + b"set_config("
_OBJECT_BEGINS, _OBJECT_ENDS = _STATEMENT + b"lo_open(", _STATEMENT + b"lo_close("


@dataclass
class Checksums:
    """Every table, and a checksum over all else that is data, whatever its order."""

    tables: list[Table] = field(default_factory=list)
    others: int = 0

    @property
    def others_hex(self) -> str:
        """The checksum of what is no table, as the manifest has it."""
        return _hex(self.others)


def read_script(script: IO[bytes]) -> Checksums:
    """Read a data-only script to its end; uses less than a MB, whatever its size."""
    reader = _Reader(script)
    contents = Checksums()
    scattered: dict[str, Table] = {}
    via_root = False
    while (line := reader.line()) is not None:
        if line.startswith(_VIA_ROOT):
            via_root = True
        elif line.startswith(_COPY):
            name, columns = _table_and_columns(reader.rest_of(line, b'"'))
            if via_root:
                before = scattered.get(name, Table(name, 0, 0, "0", columns))
                scattered[name] = _add_rows(before, columns, reader)
            else:
                contents.tables.append(_table(name, columns, reader))
            via_root = False
        elif line.startswith(_STATEMENT) and not line.startswith(_PROLOGUE):
            contents.others += _other(line, reader)
    contents.tables += scattered.values()
    contents.tables.sort(key=lambda table: table.name)
    return contents


def in_row_order(script: IO[bytes]) -> Iterator[bytes | memoryview]:
    """The script, changed so that rows come to lie in the order in which they are in it.

    In a table that was truncated in the same transaction, COPY looks for no room between rows.
    A part is good until the next one is asked for.
    """
    reader = _Reader(script)
    via_root = False
    while (line := reader.line()) is not None:
        if not line.startswith(_COPY):
            via_root = via_root or line.startswith(_VIA_ROOT)
            yield line
            continue
        header = reader.rest_of(line, b'"')
        empty = b"" if via_root else b"TRUNCATE TABLE ONLY " + _split(header)[0] + b";\n"
        via_root = False
        yield b"BEGIN;\n" + empty + header
        for begin, end in reader.blocks():
            yield reader.view[begin:end]
        yield _END[1:] + b"COMMIT;\n"


def _table_and_columns(header: bytes) -> tuple[str, str]:
    """The table's name and the list of its columns; a name that is not UTF-8 is spelled out."""
    name, columns = _split(header)
    return name.decode(errors="backslashreplace"), columns.decode(errors="backslashreplace")


def _split(header: bytes) -> tuple[bytes, bytes]:
    """The table's name as SQL has it; its columns in brackets, or nothing if it has none."""
    text = header[len(_COPY) : -len(_FROM)]
    quoted = False
    for position, letter in enumerate(text):
        quoted ^= letter == _QUOTE
        if letter == _BRACKET and not quoted:
            return text[:position].rstrip(), text[position:]
    return text.rstrip(), b""


def _other(line: bytes, reader: "_Reader") -> int:
    """The checksum of one statement, or of all that make one large object."""
    digest = hashlib.sha256(reader.rest_of(line, b"'"))
    if line.startswith(_OBJECT_BEGINS):
        while not line.startswith(_OBJECT_ENDS) and (more := reader.line()) is not None:
            digest.update(line := more)
    return int.from_bytes(digest.digest())


def _table(name: str, columns: str, reader: "_Reader") -> Table:
    digest, rows, size = hashlib.sha256(), 0, 0
    for begin, end in reader.blocks():
        digest.update(reader.view[begin:end])
        rows += reader.buffer.count(b"\n", begin, end)
        size += end - begin
    return Table(name, rows, size, digest.hexdigest(), columns)


def _add_rows(table: Table, columns: str, reader: "_Reader") -> Table:
    """A table with the rows that follow, and the sum of all their checksums, in any order.

    Each partition may have its columns in an order of its own: here they go by their names.
    """
    total, rows, size, rest = int(table.sha256, 16), table.rows, table.bytes, b""
    names = _COLUMN.findall(columns)
    order = sorted(range(len(names)), key=names.__getitem__)
    for begin, end in reader.blocks():
        size += end - begin
        *lines, rest = (rest + reader.view[begin:end]).split(b"\n")
        rows += len(lines)
        for line in lines:
            fields = line.split(b"\t")
            sorted_line = b"\t".join(fields[at] for at in order)
            total += int.from_bytes(hashlib.sha256(sorted_line).digest())
    return Table(table.name, rows, size, _hex(total), f"({', '.join(sorted(names))})")


def _hex(total: int) -> str:
    return f"{total % (1 << 256):064x}"


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
