"""The words that the program can print, read from its source: text with holes for values."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "appliance"

_KINDS = (
    "ApplianceError SettingsError StorageError SchemaError DatabaseError BackupError "
    "BadRequestError NotFoundError ConflictError DamagedError KeyRefusedError DestinationError "
    "DiskSpaceError"
).split()
_HOLE = "\0"
_FIXED_CHARACTERS = 8
_FIXED_SHARE = 0.12


@dataclass(frozen=True)
class Template:
    """One text of the source. `text` is for people, with … where values go."""

    where: str
    pattern: "re.Pattern[str]"
    text: str

    def fits(self, message: str) -> bool:
        """Whether the program can print this. A template that is nearly all holes never fits."""
        fixed = len(self.text.replace("…", ""))
        enough = fixed >= _FIXED_SHARE * len(message)
        return enough and self.pattern.fullmatch(message) is not None


def everything() -> list[Template]:
    """Every string of the package that has some words in it."""
    found = (
        _template(path, node)
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)
    )
    return [template for template in found if template]


def errors() -> list[Template]:
    """The message of each ApplianceError that is raised or returned somewhere."""
    return [
        template
        for path, tree in _trees()
        for node in ast.walk(tree)
        if _makes_error(node) and (template := _template(path, _first_argument(node)))
    ]


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _makes_error(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not node.args or not isinstance(node.func, ast.Name):
        return False
    return node.func.id in _KINDS


def _first_argument(node: ast.AST) -> ast.expr:
    assert isinstance(node, ast.Call)
    return node.args[0]


def _template(path: Path, node: ast.AST) -> Template | None:
    # The lines below the first one are lists of other messages, or documentation.
    text = _text(node).partition("\n")[0]
    if len(text.replace(_HOLE, "").strip()) < _FIXED_CHARACTERS:
        return None
    pattern = ".*".join(re.escape(part) for part in text.split(_HOLE))
    where = f"{path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 0)}"
    return Template(where, re.compile(pattern, re.DOTALL), re.sub(f"{_HOLE}+", "…", text))


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case _:
            return _HOLE
