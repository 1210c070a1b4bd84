"""Markdown as far as these tests need it: blocks, links, headings, quoted messages."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_QUOTED = re.compile(r"\*\*(?P<mark>``?) ?(?P<message>[^`].*?) ?(?P=mark)\*\*")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block; `note` is the comment on the line above it."""

    language: str
    text: str
    note: str
    line: int


def documents() -> list[Path]:
    """Every page that people read."""
    patterns = ("*.md", "docs/**/*.md", "hooks/*.md", "certs/*.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def blocks(document: Path) -> list[Block]:
    """Its fenced blocks, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["text"], m["note"] or "", text.count("\n", 0, m.start()) + 1)
        for m in _FENCE.finditer(text)
    ]


def links(document: Path) -> list[str]:
    """The targets of its links."""
    return [m["target"] for m in _LINK.finditer(_prose(document))]


def anchors(document: Path) -> set[str]:
    """What can stand behind # in a link to it, as GitHub makes it from a heading."""
    titles = (m["title"].lower() for m in _HEADING.finditer(_prose(document)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def quoted_messages(document: Path) -> list[str]:
    """What stands in bold code: words of the program."""
    return [m["message"] for m in _QUOTED.finditer(_prose(document))]


def _prose(document: Path) -> str:
    return _FENCE.sub("", document.read_text(encoding="utf-8"))
