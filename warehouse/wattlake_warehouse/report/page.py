"""The page: figures, charts and tables put into the template, everything escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wattlake_warehouse.report import charts, sections
from wattlake_warehouse.report.figures import Figures


def render(figures: Figures, organisation: str = "") -> str:
    """One self-contained HTML document. The same figures give the same bytes: there is no clock in it."""
    environment = Environment(loader=PackageLoader("wattlake_warehouse.report", ""), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    style = files("wattlake_warehouse.report").joinpath("style.css").read_text(encoding="utf-8")
    jobs, statuses = sections.jobs(figures)
    kinds = sorted({row["simulated"] for row in figures.headline})
    return environment.get_template("template.html.j2").render(
        organisation=organisation, version=version("wattlake"), figures=figures, sections=sections,
        style=Markup(style),  # noqa: S704  # our own file
        watermark=_instant(figures.lake["watermark_ms"]), committed=_instant(figures.lake["committed_ms"]),
        kinds=kinds, mixed=len(kinds) > 1,
        life_cycle_chart=_drawn(charts.life_cycle(figures.life_cycle)),
        series=[(kind, rows, _drawn(charts.series(rows, [z for z in figures.zones if z["simulated"] == kind], figures.series_step)))
                for kind in kinds if (rows := [r for r in figures.series if r["simulated"] == kind])],
        jobs=jobs, statuses=statuses,
    )


def _drawn(svg: str) -> Markup:
    # vl-convert writes text nodes and attributes escaped; a test holds it to that with hostile names
    return Markup(svg)  # noqa: S704


def _instant(ms: int | None) -> str:
    return "unknown" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
