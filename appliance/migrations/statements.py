"""The statements of an SQL file, as far as Postgres' lexical rules tell them apart.

>>> [(part.line, part.text) for part in split("SELECT ';' ;\\n-- a comment; no statement\\nVACUUM")]
[(1, "SELECT ';' ;"), (3, 'VACUUM')]
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TRANSACTION_COMMANDS = frozenset("ABORT BEGIN COMMIT END RELEASE ROLLBACK SAVEPOINT START".split())
# Bodies of these may be written without quotes, BEGIN ATOMIC … END, with semicolons inside.
_WITH_BODY = re.compile(r"CREATE (OR REPLACE )?(FUNCTION|PROCEDURE)\b")
_WORDS_THAT_COUNT = 4

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
      | (?P<comment>/\*)
      | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
      | (?P<quoted>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
      | (?P<word>[^\W\d][\w$]*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Statement:
    """One statement and the line of the file where it begins."""

    text: str
    line: int
    words: str

    @property
    def transaction_command(self) -> str | None:
        """The command, if this statement begins or ends a transaction."""
        first = self.words.partition(" ")[0]
        if self.words.startswith("PREPARE TRANSACTION"):
            return "PREPARE TRANSACTION"
        return first if first in _TRANSACTION_COMMANDS else None


def split(sql: str) -> list[Statement]:
    """Split a file; comments between statements belong to none."""
    found: list[Statement] = []
    current = _Reading()
    for kind, start, end in _tokens(sql):
        if kind in ("space", "comment"):
            continue
        current.take(kind, sql[start:end], start)
        if current.is_whole:
            found.append(current.statement(sql, end))
            current = _Reading()
    if current.start is not None:
        found.append(current.statement(sql, len(sql)))
    return [statement for statement in found if statement.text != ";"]


@dataclass
class _Reading:
    """A statement that is being read."""

    start: int | None = None
    words: list[str] = field(default_factory=list)
    parentheses: int = 0
    blocks: int = 0
    is_whole: bool = False

    def take(self, kind: str, text: str, at: int) -> None:
        if self.start is None:
            self.start = at
        if kind == "word":
            self._word(text.upper())
        elif kind == "other":
            self._mark(text)

    def statement(self, sql: str, end: int) -> Statement:
        line = sql.count("\n", 0, self.start) + 1
        return Statement(sql[self.start : end].rstrip(), line, " ".join(self.words))

    def _word(self, word: str) -> None:
        if len(self.words) < _WORDS_THAT_COUNT:
            self.words.append(word)
        if word in ("BEGIN", "CASE", "END") and not self.parentheses and self._has_body:
            self._block(word)

    @property
    def _has_body(self) -> bool:
        return _WITH_BODY.match(" ".join(self.words)) is not None

    def _block(self, word: str) -> None:
        if word == "BEGIN" or (word == "CASE" and self.blocks):
            self.blocks += 1
        elif word == "END" and self.blocks:
            self.blocks -= 1

    def _mark(self, mark: str) -> None:
        if mark in "()":
            self.parentheses = max(0, self.parentheses + (1 if mark == "(" else -1))
        self.is_whole = mark == ";" and not self.parentheses and not self.blocks


def _tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    while match := _TOKEN.match(sql, at):
        kind, end = match.lastgroup or "other", match.end()
        if kind == "comment":
            end = _end_of_comment(sql, end)
        elif kind == "dollar":
            closing = sql.find(match[0], end)
            end = len(sql) if closing < 0 else closing + len(match[0])
        yield kind, at, end
        at = end


def _end_of_comment(sql: str, at: int) -> int:
    depth = 1
    while depth and (match := _COMMENT_MARK.search(sql, at)):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return len(sql) if depth else at
