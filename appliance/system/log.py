"""Log lines on standard output, one write each: as text for people, or as JSON for programs.

>>> render("agent", "serving", "warning", {"url": "http://localhost", "who": "a b"})
'agent warning: serving url=http://localhost who="a b"'
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Literal

from appliance.system.clock import timestamp_ms

Level = Literal["debug", "info", "warning", "error"]
Value = str | int | float | None

_STDOUT = 1
# A line break or an escape sequence inside a text must not be able to forge another line.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_NEEDS_NO_QUOTES = re.compile(r'[^\s"=\\]+')
# What most values are: nothing in them has to be quoted or escaped.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")

# The settings LOG_FORMAT and LOG_LEVEL; each program says them once, when it has read its settings.
_format = "text"
_debug_descriptor: int | None = None


def use_format(name: str) -> None:
    """Write `text` or `json` from now on."""
    global _format  # noqa: PLW0603 - one log for one process
    _format = name


def writes_json() -> bool:
    """Whether whoever reads this expects objects."""
    return _format == "json"


def show_debug(descriptor: int = _STDOUT) -> None:
    """Write lines of the level debug too; a command that prints answers has them beside these."""
    global _debug_descriptor  # noqa: PLW0603 - as above
    _debug_descriptor = descriptor


def write_line(program: str, text: str, /, *, level: Level = "info", **fields: Value) -> None:
    """Write one line: `2026-11-20T13:00:00.123Z agent handoff complete from=vm stop_ms=59`.

    A level other than info stands before the text. As JSON it is one object with the keys time,
    level, program and message, then the fields. Control characters are escaped in both.
    """
    descriptor = _debug_descriptor if level == "debug" else _STDOUT
    if descriptor is not None:
        _write(descriptor, timestamp_ms(), program, text, level, fields)


def write_record(
    time: str, program: str, text: str, level: Level, fields: Mapping[str, Value]
) -> None:
    """Write what another program has said, at its time."""
    _write(_STDOUT, time, program, text, level, fields)


def write_block(program: str, text: str, /, *, level: Level = "error", **fields: Value) -> None:
    """Write a text of several lines, a traceback for example; as JSON it is one object."""
    lines = [text] if writes_json() else text.splitlines()
    for number, line in enumerate(lines):
        write_line(program, line, level=level, **({} if number else fields))


def render(program: str, text: str, level: Level, fields: Mapping[str, Value]) -> str:
    """One line of text without its time."""
    shown = "" if level == "info" else f"{level}: "
    pairs = "".join(f" {name}={_quoted(str(value))}" for name, value in fields.items())
    return f"{program} {shown}{text.translate(_ESCAPED)}{pairs}"


def render_json(
    time: str, program: str, text: str, level: Level, fields: Mapping[str, Value]
) -> str:
    """One line of JSON."""
    about = {"time": time, "level": level, "program": program, "message": _encodable(text)}
    others = {
        name: _encodable(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    return json.dumps(about | others)


def _write(
    descriptor: int, time: str, program: str, text: str, level: Level, fields: Mapping[str, Value]
) -> None:
    if writes_json():
        line = render_json(time, program, text, level, fields)
    else:
        line = f"{time} {render(program, text, level, fields)}"
    rest = f"{line}\n".encode("utf-8", "backslashreplace")
    try:
        # A signal can end a write of more than a pipe takes at once.
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        # Nobody reads the log any more; that must not stop the service.
        return


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if _NEEDS_NO_QUOTES.fullmatch(value.translate(_ESCAPED)) is None:
        value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return value.translate(_ESCAPED)


def _encodable(text: str) -> str:
    # Half a surrogate pair, from a file's name that is not UTF-8, is no text to strict readers.
    return text.encode("utf-8", "backslashreplace").decode()
