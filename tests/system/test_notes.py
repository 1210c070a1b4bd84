"""Notes: written whole, read whatever has become of them, compared with what they should be."""

import json
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.system import notes
from tests.harness.examples import tries


@dataclass(frozen=True)
class Note:
    """One of each kind of field."""

    name: str
    count: int
    seconds: float
    ok: bool
    state: Literal["on", "off"]
    tags: tuple[str, ...] = ()
    message: str | None = None


NOTE = Note("a", 3, 1.5, True, "on", ("x", "y"), "said")


@pytest.mark.parametrize("durable", [True, False])
def test_a_note_is_read_as_it_was_written(tmp_path: Path, durable: bool) -> None:
    notes.write(tmp_path / "note", asdict(NOTE), durable=durable)
    assert notes.read_as(Note, tmp_path / "note") == NOTE
    assert json.loads((tmp_path / "note").read_text())["format"] == 1
    assert stat.S_IMODE((tmp_path / "note").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", "\0\0", "[" * 100_000, '{"format": 2}', '{"format": null}']
)
def test_what_cannot_be_read_is_no_note(tmp_path: Path, text: str) -> None:
    assert notes.read(tmp_path / "note") == {}
    (tmp_path / "note").write_text(text)
    assert notes.read(tmp_path / "note") == {}
    assert notes.read_as(Note, tmp_path / "note") is None


def test_what_is_not_known_is_left_out_and_what_has_a_default_may_be_missing() -> None:
    entry = {"name": "a", "count": 3, "seconds": 2, "ok": False, "state": "off", "more": 1}
    assert notes.parse(Note, entry) == Note("a", 3, 2.0, False, "off")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": 5}, {"name": None}, {"count": "3"}, {"count": True}, {"count": 1.0}),
        *({"seconds": "1"}, {"seconds": False}, {"ok": 1}, {"state": "half"}, {"state": []}),
        *({"tags": "xy"}, {"tags": [1]}, {"message": 1}),
    ],
)
def test_a_field_of_another_kind_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        notes.parse(Note, {**_entry(), **wrong})


@pytest.mark.parametrize("missing", ["name", "count", "seconds", "ok", "state"])
def test_a_field_that_is_missing_is_named(missing: str) -> None:
    entry = _entry()
    del entry[missing]
    with pytest.raises(ValueError, match=f"Note has no {missing}"):
        notes.parse(Note, entry)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@tries(300)
@given(st.one_of(anything, st.dictionaries(st.sampled_from(sorted(asdict(NOTE))), anything)))
def test_whatever_an_entry_is_it_is_a_note_or_none(entry: Any) -> None:
    found = notes.parse_or_none(Note, entry)
    assert found is None or {**asdict(found)}.items() >= {"name": entry["name"]}.items()


def _entry() -> dict[str, Any]:
    return json.loads(json.dumps(asdict(NOTE)))  # type: ignore[no-any-return]  # json says Any
