"""The report's charts, as SVG that follows the page's colours."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import altair as alt
import vl_convert

from wattlake_warehouse.report.figures import Row
from wattlake_warehouse.report.quantities import ENERGY, MASS, UNKNOWN

PHASES = ("data", "experiment", "train", "finetune", "evaluate", "inference", "other", "(none)")
#: Okabe and Ito, Color Universal Design (2008): told apart by colour-blind readers; grey for what is not named.
_PHASE_COLOURS = ("#56b4e9", "#e69f00", "#0072b2", "#cc79a7", "#f0e442", "#009e73", "#b39ddb", "#9e9e9e")
_JOB, _NO_JOB = "#0072b2", "#a9c4d6"
_HELD = ("held by jobs", "held by no job")
_ZONES = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a")
_INK, _FAINT = "#010203", "#040506"  # stand for the page's own colours, see _themed
_WIDTH = 680
TOP_MODELS = 12
OPERATIONAL, EMBODIED = "Operational", "Embodied"
_SIDES = {OPERATIONAL: "Operational, location-based", EMBODIED: "Embodied, accrued"}
#: right: the browser's font may be wider than the one that measured the words
_PADDING = {"left": 5, "right": 28, "top": 5, "bottom": 5}
_ISO = "%Y-%m-%dT%H:%M:%SZ"
_FONT = "system-ui, sans-serif"


def life_cycle(rows: list[Row]) -> str:
    """Stacked bars per model: operational (location-based, overhead included) and embodied, by phase.

    rows: of footprint_by_phase; what no job held is left out, and so are all models but the
    TOP_MODELS that used most energy. A model without a figure has the word for it instead of a bar; a side
    without any figure is left out. '' if there is nothing to draw.
    """
    mixed = len({row["simulated"] for row in rows}) > 1
    data: list[Row] = []
    used: dict[str, float] = {}
    for row in rows:
        if row["phase"].startswith("(") and row["phase"] != "(none)":
            continue
        model = _named(row, "model") if mixed else row["model"]
        used[model] = used.get(model, 0.0) + (row["energy_kwh"] or 0.0)
        operational = _sum(row["location_kg"], row["overhead_location_kg"])
        for what, value in ((OPERATIONAL, operational), (EMBODIED, row["embodied_kg"])):
            if value is not None:
                data.append({"model": model, "phase": row["phase"], "order": phase_order(row["phase"]), "what": what, "kg": value})
    if not data:
        return ""
    totals = {(d["model"], d["what"]): 0.0 for d in data}
    for d in data:
        totals[d["model"], d["what"]] += d["kg"]
    unit, factor = MASS.unit_for(totals.values())
    for d in data:
        d["amount"] = d["kg"] / factor
    models = sorted(used, key=lambda m: (-used[m], m))[:TOP_MODELS]
    data = [d for d in data if d["model"] in models]
    colours = alt.Scale(domain=list(PHASES), range=list(_PHASE_COLOURS))
    # room for the labels by their length: the browser's font may be wider than the one that measured them
    extent = min(240, max(len(m) for m in models) * 9)
    present = [p for p in PHASES if any(d["phase"] == p for d in data)]
    sides = [side for side in (OPERATIONAL, EMBODIED) if any(d["what"] == side for d in data)]

    def panel(side: str, first: bool) -> Any:
        known = [d for d in data if d["what"] == side]
        unknown: list[Row] = [{"model": m, "said": UNKNOWN} for m in models if not any(d["model"] == m for d in known)]
        y = alt.Y("model:N", sort=models, scale=alt.Scale(domain=models), title=None,
                  axis=alt.Axis(labels=first, ticks=False, domain=False, labelLimit=extent * 4 // 5, minExtent=extent if first else 0))
        bars = alt.Chart(_values(known)).mark_bar(height=20).encode(
            y=y, x=alt.X("amount:Q", title=f"{unit} CO₂e", axis=alt.Axis(tickCount=4, labelFlush=False)),
            color=alt.Color("phase:N", scale=colours, legend=alt.Legend(title=None, orient="top", symbolType="square", values=present, columns=8,
                                                                        columnPadding=24)),
            order=alt.Order("order:Q"))
        words = alt.Chart(_values(unknown)).mark_text(align="left", fontStyle="italic", fontSize=12, font=_FONT, color=_INK).encode(
            y=y, x=alt.value(6), text="said:N")
        return alt.layer(bars, *([words] if unknown else [])).properties(
            title=alt.Title(_SIDES[side], anchor="start", frame="group"), width=(_WIDTH - extent) // len(sides) - 20, height=34 * len(models))

    return _svg(alt.hconcat(*(panel(side, side == sides[0]) for side in sides), spacing=30).resolve_scale(color="shared"))


def series(rows: list[Row], zones: list[Row], step: str) -> str:
    """Energy over time above the intensity of each grid zone, on one time axis.

    rows: start_utc, job_kwh, no_job_kwh; zones: start_utc, zone, direct_g_per_kwh; both of one kind,
    simulated or not. What is not known leaves a hole, nothing is drawn across it. '' if there is one step or none: a
    chart of one bar says nothing.
    """
    if len({row["start_utc"] for row in rows}) < 2:
        return ""
    length = timedelta(hours=1) if step == "hour" else timedelta(days=1)

    def span(row: Row) -> Row:
        return {"from": f"{row['start_utc']:{_ISO}}", "to": f"{row['start_utc'] + length:{_ISO}}"}

    unit, factor = ENERGY.unit_for((r["job_kwh"] or 0) + (r["no_job_kwh"] or 0) for r in rows)
    energy = []
    for row in rows:
        jobs, rest = (row["job_kwh"] or 0) / factor, (row["no_job_kwh"] or 0) / factor
        energy += [{**span(row), "low": 0, "high": jobs, "held": _HELD[0]}, {**span(row), "low": jobs, "high": jobs + rest, "held": _HELD[1]}]
    grid = [{**span(r), "g": r["direct_g_per_kwh"], "zone": r["zone"]} for r in zones if r["direct_g_per_kwh"] is not None]
    made = " (simulated)" if rows[0]["simulated"] else ""
    form = "%d %b" if step == "day" else "%d %b %H:%M"
    start = alt.X("from:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(format=form, tickCount=6, labelOverlap=True))
    held = alt.Color("held:N", scale=alt.Scale(domain=list(_HELD), range=[_JOB, _NO_JOB]), legend=_legend())
    panels = [_panel(energy, 150, f"IT energy per {step}, {unit}{made}").mark_rect().encode(
        x=start, x2=alt.X2("to:T"), y=alt.Y("low:Q", title=None, axis=alt.Axis(tickCount=4)), y2=alt.Y2("high:Q"), color=held)]
    if grid:
        # in the order in which they come: by energy
        names = list(dict.fromkeys(d["zone"] for d in grid))[:len(_ZONES)]
        colours = alt.Color("zone:N", scale=alt.Scale(domain=names, range=list(_ZONES[:len(names)])), legend=_legend("stroke"))
        shown = [d for d in grid if d["zone"] in names]
        panels.append(_panel(shown, 110, f"Direct intensity of the grid by zone, g CO₂e/kWh{made}").mark_rule(strokeWidth=2.5).encode(
            x=start, x2=alt.X2("to:T"), y=alt.Y("g:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4)), color=colours))
    return _svg(alt.vconcat(*panels, spacing=24).resolve_scale(x="shared", color="independent"))


def _legend(symbol: str = "square") -> Any:
    return alt.Legend(title=None, orient="top", columnPadding=24, symbolType=symbol, symbolStrokeWidth=3)


def phase_order(phase: str) -> int:
    """A phase's place in the life cycle; what no job held comes last."""
    return PHASES.index(phase) if phase in PHASES else len(PHASES)


def _panel(values: list[Row], height: int, title: str) -> Any:
    return alt.Chart(_values(values), width=_WIDTH - 60, height=height, title=alt.Title(title, anchor="start", frame="group"))


def _values(rows: list[Row]) -> Any:
    return alt.Data(values=rows)  # type: ignore[no-untyped-call]  # altair leaves it untyped


def _named(row: Row, column: str) -> str:
    return f"{row[column]} (simulated)" if row["simulated"] else str(row[column])


def _sum(*values: float | None) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _svg(chart: Any) -> str:
    text = {"labelFont": _FONT, "titleFont": _FONT, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
            "labelColor": _INK, "titleColor": _INK}
    styled = (chart.configure(background="transparent", font=_FONT, padding=_PADDING)
              .configure_axis(**text, gridColor=_FAINT, domainColor=_FAINT, tickColor=_FAINT)
              .configure_axisX(grid=False).configure_legend(**text)
              .configure_title(font=_FONT, fontSize=13, fontWeight=600, color=_INK).configure_view(stroke=None))
    return _themed(vl_convert.vegalite_to_svg(styled.to_json()))


def _themed(svg: str) -> str:
    """The SVG with the page's ink and line colours, light or dark, scaled by its viewBox and silent to screen readers."""
    svg = svg.replace(_INK, "currentColor").replace(_FAINT, "var(--line)")
    size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg)
    assert size is not None
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[1]} {size[2]}" aria-hidden="true" focusable="false">'
    return re.sub(r"<svg [^>]*>", opening, svg, count=1)
