"""`wattlake report`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from wattlake_contracts.config import load
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.layout import DAY_MS
from wattlake_contracts.log_address import lake_root
from wattlake_contracts.options import ConfigOption, LakeOption

app = typer.Typer(rich_markup_mode=None)
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@app.command()
def report(
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.", metavar="F.html")] = Path("wattlake-report.html"),
    start: Annotated[str | None, typer.Option("--from", help="First UTC day, e.g. 2026-03-01.", metavar="DAY")] = None,
    end: Annotated[str | None, typer.Option("--to", help="UTC day after the last one.", metavar="DAY")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of all time, embodied emissions since the day of purchase included.")] = False,
    form: Annotated[str, typer.Option("--format", help="html: write the file; json: print the figures.", metavar="FORMAT")] = "html",
    config: ConfigOption = None,
    lake: LakeOption = None,
) -> None:
    """One HTML file for the organisation, without scripts and without network.

    Without --from and --to it covers the UTC days from the first to the last measured instant, and says
    in a sentence what lies outside them. Prints the file's path. With `--format json` it prints the figures behind it instead.
    """
    if form not in {"html", "json"}:
        raise typer.BadParameter(f"{form!r} is not one of html, json", param_hint="--format")
    window = _window(start, end)
    if everything and window is not None:
        raise UsageError("--all with --from or --to", next_step="give one of them")
    settings = load(config)
    from wattlake_warehouse.report.figures import collect
    figures = collect(lake_root(settings, lake), window, everything=everything)
    if form == "json":
        print(json.dumps(_plain(asdict(figures)), ensure_ascii=False, indent=1))
        return
    from wattlake_warehouse.report.page import render
    page = render(figures, settings.report.organisation)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise WattlakeError(f"cannot be written: {error.strerror}", subject=str(out), next_step="give another --out") from error
    print(out.absolute())


def _window(start: str | None, end: str | None) -> tuple[int, int] | None:
    """[from, to) in epoch ms; None if neither is given. UsageError if it is no span of days."""
    if start is None and end is None:
        return None
    first = _day(start, "--from") if start else _ms(_FIRST)
    last = _day(end, "--to") if end else _ms(_LAST)
    if first >= last:
        raise UsageError("--to must be after --from", next_step="--to is the day after the last one")
    return first, last


def _day(text: str, option: str) -> int:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no day", next_step="write it as 2026-03-01; days are UTC") from error
    if not _FIRST <= day <= _LAST:
        raise UsageError(f"{option} {text!r} is out of range", next_step="give a day from 2000 to 2199")
    return _ms(day) // DAY_MS * DAY_MS


def _ms(instant: datetime) -> int:
    return int(instant.timestamp()) * 1000


def _plain(value: Any) -> Any:
    """Times as ISO 8601 in UTC, figures that are no number as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
