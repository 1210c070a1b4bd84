"""What is in a dump, read from its script: whatever things are called, whatever they hold."""

import io
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.backups.backup_errors import BackupError
from appliance.backups.server import checksums
from tests.harness.examples import tries

LETTERS = st.sampled_from(["a", "Z", " ", '"', "'", "(", ")", "\n", "\\", ".", ";", "é", "%", "-"])
ODD = ["COPY ", " FROM stdin;\n", "\\.\n", "SELECT pg_catalog.", '" (x) FROM stdin;\n']
NAMES = st.lists(LETTERS | st.sampled_from(ODD), min_size=1, max_size=6).map("".join)
VALUES = st.text(st.sampled_from(["a", "\\", "\t", "\n", "\r", ".", "N", "\b", "ü", " "]))
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=50)
OPEN = "SELECT pg_catalog.lo_open('{}', 131072);\n"
WRITE = "SELECT pg_catalog.lowrite(0, '\\\\x{}');\n"
FEW = tries(40)
CLOSE = "SELECT pg_catalog.lo_close(0);\n\n"


@dataclass(frozen=True)
class Copied:
    """A table as pg_dump writes it."""

    name: str
    columns: list[str]
    rows: list[list[str | None]]

    @property
    def sql_name(self) -> str:
        return f"public.{_quoted(self.name)}"

    @property
    def data(self) -> bytes:
        return "".join("\t".join(map(_copied, row)) + "\n" for row in self.rows).encode()

    @property
    def script(self) -> bytes:
        columns = f"({', '.join(map(_quoted, self.columns))})" if self.columns else ""
        comment = (
            f"--\n-- Data for Name: {self.name.translate({10: ' '})}; Type: TABLE DATA\n--\n\n"
        )
        header = f"{comment}COPY {self.sql_name} {columns} FROM stdin;\n"
        return header.encode() + self.data + b"\\.\n\n\n"

    @property
    def expected(self) -> tuple[str, int, int]:
        """Its name, its rows and the bytes of its data."""
        return self.sql_name, len(self.rows), len(self.data)


@st.composite
def tables(draw: st.DrawFn) -> list[Copied]:
    """Some tables with different names; some have no rows, some have no columns."""
    found = []
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        columns = draw(st.lists(NAMES, unique=True, max_size=3))
        row = st.tuples(*[st.none() | VALUES for _ in columns]).map(list)
        found.append(Copied(name, columns, draw(st.lists(row, max_size=5))))
    return found


class Drip(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def __init__(self, script: bytes, cuts: list[int]) -> None:
        super().__init__(script)
        self._cuts = cuts
        self._turn = 0

    def readinto1(self, buffer: Any) -> int:
        self._turn += 1
        return super().readinto1(buffer[: self._cuts[self._turn % len(self._cuts)]])


@FEW
@given(tables(), CUTS)
@example([Copied("plain", ["x"], [["\\."], ["."], ["\\"], ["\n\\.\n"]])], [1])
@example([Copied("no columns", [], [[], []])], [1])
@example([Copied(" FROM stdin;\n\\.\n", ["x"], [["1"]]), Copied("b", [], [])], [2])
def test_every_table_is_found_with_its_rows_however_the_blocks_are_cut(
    found: list[Copied], cuts: list[int]
) -> None:
    script = b"SET statement_timeout = 0;\n\n" + b"".join(table.script for table in found)
    read = checksums.read_script(Drip(script, cuts))
    assert [(table.name, table.rows, table.bytes) for table in read.tables] == sorted(
        table.expected for table in found
    )
    assert read == checksums.read_script(io.BytesIO(script))
    assert read.others_hex == "0" * 64


@FEW
@given(tables().filter(lambda found: any(table.data for table in found)), st.data())
def test_another_byte_in_any_row_is_seen_in_its_table_only(
    found: list[Copied], data: st.DataObject
) -> None:
    altered = data.draw(st.sampled_from([table for table in found if table.data]))
    row = data.draw(st.sampled_from(altered.rows))
    scripts = [b"".join(table.script for table in found)]
    row.append("one value more")
    scripts.append(b"".join(table.script for table in found))
    one, other = (set(checksums.read_script(io.BytesIO(script)).tables) for script in scripts)
    assert {table.name for table in one ^ other} == {altered.sql_name}


def test_blocks_that_end_at_any_byte_make_no_difference() -> None:
    rows: list[list[str | None]] = [["\\."], ["a\n\\."], [None], ["\\\\"], [""]]
    script = b"".join([Copied('a"\n(b', ["x"], rows).script, Copied("none", [], []).script])
    whole = checksums.read_script(io.BytesIO(script))
    assert [table.rows for table in whole.tables] == [5, 0]
    for first in range(1, len(script)):
        assert checksums.read_script(Drip(script, [len(script), first])) == whole


@FEW
@given(tables().filter(bool), st.data())
def test_data_that_is_cut_off_is_an_error(found: list[Copied], data: st.DataObject) -> None:
    *before, last = found
    script = b"".join(table.script for table in before)
    end = len(last.script) - len(b"\\.\n\n\n")
    # Within the rows, or in the middle of the line that ends them.
    cut = data.draw(st.integers(end - len(last.data), end + 2))
    with pytest.raises((EOFError, BackupError)):
        checksums.read_script(io.BytesIO(script + last.script[:cut]))


@FEW
@given(NAMES, st.integers(1, 9), CUTS)
@example("a\nb", 1, [1])
def test_another_value_of_a_sequence_is_seen_whatever_it_is_called(
    name: str, value: int, cuts: list[int]
) -> None:
    assert _others(_sequence(name, value), cuts) == _others(_sequence(name, value), [1 << 20])
    assert _others(_sequence(name, value), cuts) != _others(_sequence(name, value + 1), cuts)


@FEW
@given(NAMES, NAMES.filter(bool))
def test_the_order_of_sequences_makes_no_difference(one: str, other: str) -> None:
    scripts = [_sequence(one, 1), _sequence(other, 2)]
    assert _others("".join(scripts)) == _others("".join(reversed(scripts)))


def test_another_content_of_a_large_object_is_seen() -> None:
    assert _others(_object(1, "61", "62")) != _others(_object(1, "61", "63"))
    assert _others(_object(1, "61") + _object(2, "62")) == _others(
        _object(2, "62") + _object(1, "61")
    )


def test_large_objects_that_have_changed_places_are_seen() -> None:
    assert _others(_object(1, "61") + _object(2, "62")) != _others(
        _object(1, "62") + _object(2, "61")
    )


def test_parts_of_a_large_object_that_have_changed_places_are_seen() -> None:
    assert _others(_object(1, "61", "62")) != _others(_object(1, "62", "61"))


def _others(script: str, cuts: list[int] | None = None) -> str:
    return checksums.read_script(Drip(script.encode(), cuts or [7])).others_hex


def _sequence(name: str, value: int) -> str:
    literal = f"public.{_quoted(name)}".replace("'", "''")
    escaped = f" E'{literal}'".replace("\\", "\\\\") if "\\" in literal else f"'{literal}'"
    return (
        f"--\n-- Type: SEQUENCE SET\n--\n\nSELECT pg_catalog.setval({escaped}, {value}, true);\n\n"
    )


def _object(number: int, *parts: str) -> str:
    writes = "".join(WRITE.format(part) for part in parts)
    return OPEN.format(number) + writes + CLOSE


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _copied(value: str | None) -> str:
    if value is None:
        return "\\N"
    escapes = {"\\": "\\\\", "\b": "\\b", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(escapes.get(letter, letter) for letter in value)
