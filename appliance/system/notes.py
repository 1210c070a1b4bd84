"""Notes: small JSON files that tell other programs, later starts and other versions something.

Each carries the number of its format. One that cannot be read counts as none: it was torn by a
power cut, or a newer version wrote it, or somebody else. What must not be lost is no note.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from appliance.system.files import write_json

FORMAT = 1

Value = TypeVar("Value")


def write(path: Path, facts: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace a note, so that a crash leaves the old one or the new one; raises OSError.

    Not `durable`, it costs no wait for the disk, and a power cut may leave none.
    """
    write_json(path, {"format": FORMAT, **facts}, durable=durable)


def read(path: Path) -> dict[str, Any]:
    """What a note says, without any check but that of its format; empty if there is none."""
    try:
        document = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    return document if document.get("format", FORMAT) == FORMAT else {}


def read_as(kind: type[Value], path: Path) -> Value | None:
    """A note as a dataclass, whose fields are compared with their types; None if it is none."""
    return parse_or_none(kind, read(path))


def parse_or_none(kind: type[Value], entry: Any) -> Value | None:
    """The same of a part of a note."""
    try:
        return parse(kind, entry)
    except (ValueError, TypeError, OverflowError):
        return None


def parse(kind: type[Value], entry: Any) -> Value:
    """Make a dataclass of a JSON object; raises ValueError or TypeError.

    Its fields may be plain values, unions of them, and tuples of one kind. What it does not know is
    left out: another version may know more.
    """
    if not isinstance(entry, dict):
        raise TypeError(f"{kind.__name__} is no object")
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass
        if field.name in entry:
            values[field.name] = _checked(hints[field.name], entry[field.name], field.name)
        elif field.default is MISSING:
            raise ValueError(f"{kind.__name__} has no {field.name}")
    return kind(**values)


def _checked(hint: Any, value: Any, name: str) -> Any:
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_checked(get_args(hint)[0], one, name) for one in value)
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    # A bool is an int to Python, and an int will do for a float.
    if type(value) in kinds:
        return value
    if type(value) is int and float in kinds:
        return float(value)
    raise ValueError(f"{name} is {value!r:.40}")
