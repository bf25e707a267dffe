"""A mart as its SQL file declares it: the query, and the header comment that is its documentation.

    -- What it holds, in one sentence.
    --
    -- Grain: a, b.
    -- Columns:
    --   a: what it is
    --   b_kwh [kWh]: what it is
    -- Caveats:
    --   What to keep in mind.
    SELECT …
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COLUMN = re.compile(r"(?P<name>[a-z0-9_]+)(?: \[(?P<unit>[^\]]+)\])?: (?P<doc>.+)")


@dataclass(frozen=True)
class MartColumn:
    """One column of a mart. unit: empty for names, counts and shares."""

    name: str
    unit: str
    doc: str

    @property
    def described(self) -> str:
        """Its meaning, with its unit."""
        return f"{self.doc} [{self.unit}]" if self.unit else self.doc


@dataclass(frozen=True)
class Mart:
    """A view over the lake's facts. grain: the columns that tell its rows apart."""

    name: str
    summary: str
    grain: tuple[str, ...]
    columns: tuple[MartColumn, ...]
    caveats: tuple[str, ...]
    query: str


def parse(name: str, text: str) -> Mart:
    """The mart of an SQL file. ValueError names what its header lacks."""
    lines = text.splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = [line.removeprefix("--").removeprefix(" ").rstrip() for line in lines[:end]]
    summary, grain, sections = "", "", {"Columns": list[str](), "Caveats": list[str]()}
    section = ""
    for line in header:
        if line.startswith("Grain: "):
            grain = line.removeprefix("Grain: ").rstrip(".")
        elif line.removesuffix(":") in sections and line.endswith(":"):
            section = line.removesuffix(":")
        elif section and line.startswith("  "):
            sections[section].append(line.strip())
        elif line:
            summary = f"{summary} {line}".strip()
    if not (summary and grain and sections["Columns"]):
        raise ValueError(f"{name}.sql: the header needs a summary, 'Grain:' and 'Columns:'")
    return Mart(name, summary, tuple(part.strip() for part in grain.split(",")),
                tuple(_column(name, line) for line in sections["Columns"]), tuple(sections["Caveats"]),
                "\n".join(lines[end:]).strip().rstrip(";"))


def _column(name: str, line: str) -> MartColumn:
    match = _COLUMN.fullmatch(line)
    if match is None:
        raise ValueError(f"{name}.sql: {line!r} is not 'column [unit]: meaning'")
    return MartColumn(match["name"], match["unit"] or "", match["doc"])
