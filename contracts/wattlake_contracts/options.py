"""The options that every command takes, and how it prints its data."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

ConfigOption = Annotated[str | None, typer.Option("--config", help="wattlake.toml to read [default: ./wattlake.toml if there].", metavar="FILE")]
LakeOption = Annotated[str | None, typer.Option("--lake", help="Folder of the lake.", metavar="DIR")]
LogOption = Annotated[str | None, typer.Option("--log", help="The log: file:DIR or kafka:HOST:PORT.", metavar="ADDRESS")]
TakeOverOption = Annotated[bool, typer.Option(
    "--take-over", help="Shut out the committer that holds the lake, where it is frozen or cannot be reached; should it wake it can write nothing more.")]
FormatOption = Annotated[str, typer.Option("--format", help="How to print data: table, json or csv.", metavar="FORMAT")]
FORMATS = ("table", "json", "csv")


def check_format(value: str) -> str:
    """The format itself; typer.BadParameter if there is none of that name."""
    if value not in FORMATS:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(FORMATS)}", param_hint="--format")
    return value


def emit(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: str = "table") -> None:
    """Print rows to stdout: JSON is one array of objects, CSV has a header, a table is for people."""
    if form == "json":
        json.dump([dict(zip(columns, row, strict=True)) for row in rows], sys.stdout, default=str, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(["" if value is None else value for value in row] for row in rows)
    else:
        _table(columns, list(rows))


def _table(columns: Sequence[str], rows: list[Sequence[Any]]) -> None:
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    right = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) and bool(rows) for i in range(len(columns))]
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")

    def line(values: Sequence[str]) -> str:
        return "  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)).rstrip()

    print(f"{bold}{line(columns)}{plain}")
    print(line(["-" * w for w in widths]))
    for row in cells:
        print(line(row))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
    return str(value)


def say(message: str) -> None:
    """One line for the user, on stderr: stdout is for data."""
    print(message, file=sys.stderr)
