"""The report's charts, as SVG that follows the page's colours."""

from __future__ import annotations

import re
from typing import Any

import altair as alt
import vl_convert

from wattlake_warehouse.report.figures import Row
from wattlake_warehouse.report.quantities import ENERGY, MASS

PHASES = ("data", "experiment", "train", "finetune", "evaluate", "inference", "other", "(none)")
#: Okabe and Ito, Color Universal Design (2008): told apart by colour-blind readers; grey for what is not named.
_PHASE_COLOURS = ("#56b4e9", "#e69f00", "#0072b2", "#cc79a7", "#f0e442", "#009e73", "#b39ddb", "#9e9e9e")
_JOB, _NO_JOB, _INTENSITY = "#0072b2", "#a9c4d6", "#d55e00"
_INK, _FAINT = "#010203", "#040506"  # stand for the page's own colours, see _themed
_WIDTH = 680
_FONT = "system-ui, sans-serif"


def life_cycle(rows: list[Row]) -> str:
    """Stacked bars per model: operational (location-based, overhead included) and embodied, by phase.

    rows: of footprint_by_phase; what no job held is left out. '' if there is nothing to draw.
    """
    data, amounts = [], []
    for row in rows:
        if row["phase"].startswith("(") and row["phase"] != "(none)":
            continue
        model = _named(row, "model")
        operational = _sum(row["location_kg"], row["overhead_location_kg"])
        for what, value in (("Operational", operational), ("Embodied", row["embodied_kg"])):
            if value:
                data.append({"model": model, "phase": row["phase"], "order": PHASES.index(row["phase"]), "what": what, "kg": value})
                amounts.append(value)
    if not data:
        return ""
    totals = {(d["model"], d["what"]): 0.0 for d in data}
    for d in data:
        totals[d["model"], d["what"]] += d["kg"]
    unit, factor = MASS.unit_for(totals.values())
    for d in data:
        d["amount"] = d["kg"] / factor
    models = sorted({d["model"] for d in data}, key=lambda m: -totals.get((m, "Operational"), 0.0))
    colours = alt.Scale(domain=list(PHASES), range=list(_PHASE_COLOURS))
    present = [p for p in PHASES if any(d["phase"] == p for d in data)]

    def panel(what: str, title: str, first: bool) -> alt.Chart:
        return alt.Chart(alt.Data(values=[d for d in data if d["what"] == what]), title=alt.Title(title, anchor="start"),
                         width=_WIDTH // 2 - 80, height=max(60, 34 * len(models))).mark_bar(height=20).encode(
            y=alt.Y("model:N", sort=models, scale=alt.Scale(domain=models), title=None,
                    axis=alt.Axis(labels=first, ticks=False, domain=False, labelLimit=170)),
            x=alt.X("amount:Q", title=f"{unit} CO2e", axis=alt.Axis(tickCount=4)),
            color=alt.Color("phase:N", scale=colours, legend=alt.Legend(title=None, orient="top", values=present, columns=4)),
            order=alt.Order("order:Q"))

    return _svg(alt.hconcat(panel("Operational", "Operational, location-based", True), panel("Embodied", "Embodied, accrued", False),
                            spacing=30).resolve_scale(color="shared"))


def series(rows: list[Row], step: str) -> str:
    """Energy over time above the grid's intensity, on one time axis.

    rows: start_utc, job_kwh, no_job_kwh, direct_g_per_kwh of one kind, simulated or not. '' if there are none.
    """
    if not rows:
        return ""
    unit, factor = ENERGY.unit_for((r["job_kwh"] or 0) + (r["no_job_kwh"] or 0) for r in rows)
    energy = [{"t": _instant(r), "amount": (r[name] or 0) / factor, "held": held}
              for r in rows for name, held in (("job_kwh", "held by jobs"), ("no_job_kwh", "held by no job"))]
    grid = [{"t": _instant(r), "g": r["direct_g_per_kwh"]} for r in rows]
    time = alt.X("t:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(format="%d %b" if step == "day" else "%d %b %H:%M", tickCount=6, labelOverlap=True))
    above = alt.Chart(alt.Data(values=energy), width=_WIDTH - 60, height=150, title=alt.Title(f"IT energy per {step}", anchor="start")).mark_area(
        interpolate="step-after", line=False).encode(
        x=time, y=alt.Y("amount:Q", title=unit, stack=True, axis=alt.Axis(tickCount=4)),
        color=alt.Color("held:N", scale=alt.Scale(domain=["held by jobs", "held by no job"], range=[_JOB, _NO_JOB]),
                        legend=alt.Legend(title=None, orient="top")))
    below = alt.Chart(alt.Data(values=grid), width=_WIDTH - 60, height=90, title=alt.Title("Grid intensity, direct, weighted by energy", anchor="start")).mark_line(
        interpolate="step-after", color=_INTENSITY, strokeWidth=1.8).encode(
        x=time, y=alt.Y("g:Q", title="g CO2e/kWh", axis=alt.Axis(tickCount=4)))
    return _svg(alt.vconcat(above, below, spacing=18).resolve_scale(x="shared"))


def _instant(row: Row) -> str:
    return f"{row['start_utc']:%Y-%m-%dT%H:%M:%SZ}"


def _named(row: Row, column: str) -> str:
    return f"{row[column]} (simulated)" if row["simulated"] else str(row[column])


def _sum(*values: float | None) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _svg(chart: Any) -> str:
    text = {"labelFont": _FONT, "titleFont": _FONT, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": _INK, "titleColor": _INK}
    styled = (chart.configure(background="transparent", font=_FONT)
              .configure_axis(**text, gridColor=_FAINT, domainColor=_FAINT, tickColor=_FAINT)
              .configure_axisX(grid=False).configure_legend(**text, symbolType="square")
              .configure_title(font=_FONT, fontSize=13, fontWeight=600, color=_INK).configure_view(stroke=None))
    return _themed(vl_convert.vegalite_to_svg(styled.to_json()))


def _themed(svg: str) -> str:
    """The SVG with the page's ink and line colours, light or dark, scaled by its viewBox and silent to screen readers."""
    svg = svg.replace(_INK, "currentColor").replace(_FAINT, "var(--line)")
    size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg)
    assert size is not None
    return re.sub(r"<svg [^>]*>", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size[0].split(chr(34))[1]}" aria-hidden="true" focusable="false">', svg, count=1)
