"""A log line is one line, whatever is in it, and its fields can be told from its text."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.system import log
from appliance.system.log import Level

LEVELS: tuple[Level, ...] = ("info", "warning", "error")
QUOTED_OR_PLAIN = r'("([^"\\]|\\.)*"|[^\s"=\\]+)'
TEXTS = st.text(st.characters(), max_size=40)

# capfd is one for all examples: each reads what it has written.
shared_capfd = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200
)


@pytest.fixture(autouse=True)
def text_again() -> Iterator[None]:
    yield
    log.use_format("text")


def written(capfd: pytest.CaptureFixture[str]) -> str:
    """What was written; exactly one line for every reader."""
    out = capfd.readouterr().out
    assert out.endswith("\n")
    assert len(out.splitlines()) == 1
    return out[:-1]


def test_a_line_has_its_time_program_text_and_fields(capfd: pytest.CaptureFixture[str]) -> None:
    log.write_line("agent", "handoff complete", level="info", **{"from": "vm"}, stop_ms=59)
    time, _, rest = written(capfd).partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == "agent handoff complete from=vm stop_ms=59"


def test_a_level_is_shown_unless_it_is_info() -> None:
    shown = [log.render("agent", "text", level, {}) for level in LEVELS]
    assert shown == ["agent text", "agent warning: text", "agent error: text"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain/path-1.2", "plain/path-1.2"),
        ("two words", '"two words"'),
        ('a "quote"', r'"a \"quote\""'),
        ("back\\slash", r'"back\\slash"'),
        ("", '""'),
        ("id=forged", '"id=forged"'),
        ("a\nb", r'"a\x0ab"'),
        (7.5, "7.5"),
        (None, "None"),
    ],
)
def test_values_are_quoted_where_they_need_it(value: Any, shown: str) -> None:
    assert log.render("api", "request", "info", {"field": value}) == f"api request field={shown}"


@shared_capfd
@given(text=TEXTS, value=TEXTS, level=st.sampled_from(LEVELS))
def test_no_text_and_no_value_forges_a_line_or_a_field(
    capfd: pytest.CaptureFixture[str], text: str, value: str, level: Level
) -> None:
    log.write_line("api", text, level=level, value=value, request_id="mine")
    line = written(capfd)
    assert line.endswith(" request_id=mine")
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    fields = log.render("", "", "info", {"value": value, "request_id": "mine"})
    assert re.fullmatch(rf" +value={QUOTED_OR_PLAIN} request_id=mine", fields)


@shared_capfd
@given(
    text=TEXTS, value=TEXTS | st.integers() | st.floats(-1e9, 1e9), level=st.sampled_from(LEVELS)
)
def test_as_json_each_line_is_one_object_with_the_text_as_it_was(
    capfd: pytest.CaptureFixture[str], text: str, value: Any, level: Level
) -> None:
    log.use_format("json")
    log.write_line("api", text, level=level, value=value)
    line = written(capfd)
    assert line.isascii()
    found = json.loads(line)
    assert list(found) == ["time", "level", "program", "message", "value"]
    assert (found["level"], found["program"]) == (level, "api")
    # What is half a surrogate pair is escaped: it is no text to strict readers.
    assert found["message"] == text.encode("utf-8", "backslashreplace").decode()
    if not isinstance(value, str):
        assert found["value"] == value


def test_a_block_is_lines_of_text_or_one_object(capfd: pytest.CaptureFixture[str]) -> None:
    log.write_block("api", "a request failed\nTraceback", request_id="x")
    first, second = capfd.readouterr().out.splitlines()
    assert first.endswith(" api error: a request failed request_id=x")
    assert second.endswith(" api error: Traceback")
    log.use_format("json")
    log.write_block("api", "a request failed\nTraceback", request_id="x")
    found = json.loads(written(capfd))
    assert found["message"] == "a request failed\nTraceback"
    assert (found["level"], found["request_id"]) == ("error", "x")


def test_a_reader_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("os.write", refuse)
    log.write_line("api", "nobody hears this")
