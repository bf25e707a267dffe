"""The project's pages, and the examples in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(wattlake [^`\n]+)`")
_QUERY = re.compile(r'wattlake sql (?:--config \S+ )?"([^"]+)"')
#: Made from the code.
_GENERATED = ("docs/commands.md", "docs/reference.md", "docs/factors.md")
#: Its statements are run by a test of its own, which also knows those that must fail.
_SQL_PAGE = "docs/sql.md"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the text of the page before it."""

    page: str
    line: int
    language: str
    body: str
    before: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page for people that is part of the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "infra").rglob("*.md"), *(ROOT / "bench").rglob("*.md")])


def written() -> list[tuple[str, str]]:
    """(name, text) of the pages that are written by hand."""
    named = [(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")) for page in pages()]
    return [(name, text) for name, text in named if name not in _GENERATED]


def blocks(language: str) -> list[Block]:
    """The blocks of a language."""
    return [Block(name, text.count("\n", 0, m.start()) + 1, m["language"], m["body"], text[: m.start()])
            for name, text in written() for m in _FENCE.finditer(text) if m["language"] == language]


def commands() -> list[tuple[str, str]]:
    """(place, line) of each `wattlake …` in blocks of shell and within sentences."""
    lines = [(str(block), line.strip()) for block in blocks("sh") for line in block.body.splitlines() if line.strip().startswith("wattlake ")]
    inline = [(name, found) for name, text in written() for found in _INLINE.findall(_FENCE.sub("", text))]
    return list(dict.fromkeys([*lines, *inline]))


def queries() -> list[tuple[str, str]]:
    """(place, statement) of each SQL example."""
    return [(str(block), block.body.strip()) for block in blocks("sql") if block.page != _SQL_PAGE] + [
        (name, statement) for name, text in written() if name != _SQL_PAGE for statement in dict.fromkeys(_QUERY.findall(text))]
