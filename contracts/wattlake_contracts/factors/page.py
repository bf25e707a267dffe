"""docs/factors.md: every factor that is shipped, with its source."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from wattlake_contracts.factors.embodied import embodied_factors
from wattlake_contracts.factors.facility import pues, waters
from wattlake_contracts.factors.factor import Factor
from wattlake_contracts.factors.grid import grid_averages
from wattlake_contracts.factors.network import network_factors
from wattlake_contracts.factors.tdp import tdps

_INTRO = """\
# Factors that come with Wattlake

Made from the files in `contracts/wattlake_contracts/factors` by
`python -c "from wattlake_contracts.factors.page import factors_page; print(factors_page(), end='')"`; do not edit.

A small starter set, so that a first report has figures. Any figure that you import ranks before it, and every
figure taken from here is marked `estimated`. Only what could be read in a public source stands here; what could not
be read is left out. `confidence` says how sure the reading is: `high` is read at or close to its source; `medium` is read
in one place, rounded, or assumed in part; `low` is extrapolated, a judgement, or not read again at the source.

The load curve of the CPU model (`cpu_model.csv`) is described with the agent.
"""

_TEXTS = {
    "Grid averages": "Averages of a whole year: they hide the hours, and a year that is not listed stays unknown. Direct is generation "
    "(Scope 2, location-based); life-cycle adds the fuel chain and the plant, and stands only where the same source gives both. "
    "Zones are named as Electricity Maps names them; `EGRID-…` are the subregions of the US EPA.",
    "Embodied": "Skus are named as NVML or the maker names them. A range stands only where there is a second source or a stated judgement.",
    "Design power": "The longest pattern that fits a model name wins. CPU rows were compared with a second public list; "
    "where that list does not have the model, confidence is medium.",
    "PUE": "Use a site's own PUE where there is one. `default` is the mean of a worldwide survey.",
    "Water": "Used on site per kWh of IT energy (WUE), and used in generation per kWh.",
    "Network": "An average allocation. A network draws nearly the same without the bytes, so this is no saving.",
}


def factors_page() -> str:
    """The page, in Markdown."""
    out = [_INTRO]
    out += _section("Grid averages", ("zone", "quantity", "flow basis"), ((f, (f.zone, f.quantity, f.flow_basis)) for f in grid_averages()))
    out += _section("Embodied", ("sku", "life, years", "boundary", "part of"),
                    ((f, (f.sku, f"{f.life_years:g}", f.boundary, f.component_of)) for f in embodied_factors()))
    out += _section("Design power", ("pattern", "device"), ((f, (f"`{f.name_pattern}`", f.device_kind)) for f in tdps()))
    out += _section("PUE", ("operator",), ((f, (f.operator,)) for f in pues()))
    out += _section("Water", ("operator", "quantity"), ((f, (f.operator, f.quantity)) for f in waters()))
    out += _section("Network", ("medium",), ((f, (f.medium,)) for f in network_factors()))
    return "\n".join(out).rstrip() + "\n"


def _section(title: str, keys: tuple[str, ...], rows: Iterable[tuple[Factor, tuple[str, ...]]]) -> list[str]:
    head = (*keys, "value", "range", "unit", "valid", "confidence", "source")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(_cell(c) for c in (*key, *_common(factor)))} |" for factor, key in rows]
    return [f"## {title}", "", _TEXTS[title], "", *lines, ""]


def _common(f: Factor) -> tuple[str, ...]:
    spread = "" if f.low is None and f.high is None else f"{_number(f.low)} to {_number(f.high)}"
    valid = f"{_day(f.valid_from_ms)} to {_day(f.valid_to_ms)}" if f.valid_to_ms is not None else f"from {_day(f.valid_from_ms)}"
    return _number(f.value), spread, f.unit, valid, f.confidence, f"{f.source} ({f.note})" if f.note else f.source


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
