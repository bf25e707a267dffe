"""Results as a person reads them: a table that fits its terminal, or one record below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: control characters (C0, DEL, C1) could command the terminal that a table is printed on, and a line feed would break it
CONTROL = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160))} | {9: "\\t", 10: "\\n"}
_LEAST = 16  # a cell that is cut keeps at least so many characters
_GAP = "  "
SHORTENED = "cells end with … to fit the terminal; --format csv or json gives them whole"
RECORDS = "too wide for the terminal as a table: select fewer columns, or use --format csv or json"


def lines(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None = None) -> tuple[list[str], str]:
    """The printed lines, and a hint on what was done to make them fit, or ''.

    width: of the terminal; None: no terminal, so nothing is cut. Long texts are cut first; where that is
    not enough each row becomes a record with a line per column.
    """
    names = [name.translate(CONTROL) for name in columns]
    cells = [[shown(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)]
    right = [bool(rows) and all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(names))]
    hint = ""
    if width is not None and _whole(widths) > width:
        fitted = _fitted(names, widths, right, width)
        if fitted is None:
            return _records(names, cells, width), RECORDS
        widths, hint = fitted, SHORTENED

    def line(values: Sequence[str]) -> str:
        cut = [_cut(v, w) for v, w in zip(values, widths, strict=True)]
        return _GAP.join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(cut, widths, right, strict=True)).rstrip()

    return [line(names), line(["-" * w for w in widths]), *(line(row) for row in cells)], hint


def shown(value: Any) -> str:
    """A value in a sensible number of digits: `-` for NULL, two decimals from 1 on, four digits below, an exponent where zeros would be counted."""
    if value is None:
        return "-"
    if isinstance(value, float):
        size = abs(value)
        return f"{value:,.2f}" if 1 <= size < 1e15 else f"{value:.4g}"
    return str(value).translate(CONTROL)


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fitted(names: Sequence[str], widths: Sequence[int], right: Sequence[bool], width: int) -> list[int] | None:
    """Widths that fit, the widest texts cut first; None if there are none. Numbers are never cut, nor are names."""
    least = [w if r else max(len(name), min(w, _LEAST)) for name, w, r in zip(names, widths, right, strict=True)]
    if _whole(least) > width:
        return None
    fitted = list(widths)
    while (over := _whole(fitted) - width) > 0:
        # the widest give way down to the next widest, or by what is over
        room = [w - m for w, m in zip(fitted, least, strict=True)]
        widest = max((w for w, free in zip(fitted, room, strict=True) if free), default=0)
        at = next(i for i, (w, free) in enumerate(zip(fitted, room, strict=True)) if free and w == widest)
        second = max((w for i, w in enumerate(fitted) if i != at and room[i]), default=0)
        fitted[at] -= max(1, min(over, room[at], widest - second))
    return fitted


def _records(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    if not cells:
        return list(names)
    label = min(max(len(name) for name in names), max(8, width // 2))
    out = []
    for number, row in enumerate(cells, 1):
        out.append(f"-- {number} --")
        # on lines of their own long values do no harm
        out += [f"{_cut(name, label).ljust(label)}{_GAP}{value}" for name, value in zip(names, row, strict=True)]
    return out


def _cut(value: str, width: int) -> str:
    return value if len(value) <= width else value[:width - 1] + "…"
