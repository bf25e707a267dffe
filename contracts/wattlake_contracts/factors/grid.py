"""Average grid figures of whole years: what stands in until an hourly grid is imported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from wattlake_contracts.factors.factor import Factor, Line, read_factors

FILE = "grid_average.csv"
#: What a row is about, and the unit it must then have.
QUANTITIES = {"direct": "g CO2e/kWh", "lifecycle": "g CO2e/kWh", "td_loss_fraction": "1"}
#: The column of kind `grid` that each fills.
_COLUMNS = {"direct": "direct_g_per_kwh", "lifecycle": "lifecycle_g_per_kwh", "td_loss_fraction": "td_loss_fraction"}


@dataclass(frozen=True, kw_only=True)
class GridAverage(Factor):
    """One quantity of one zone over one period. flow_basis: production or consumption."""

    zone: str
    quantity: str
    flow_basis: str


def _make(line: Line) -> GridAverage:
    quantity = line.choice("quantity", tuple(QUANTITIES))
    common = line.common((QUANTITIES[quantity],))
    if common.valid_to_ms is None:
        raise line.wrong("an average needs the end of its period in valid_to")
    return GridAverage(zone=line.text("zone"), quantity=quantity,
                       flow_basis=line.choice("flow_basis", ("production", "consumption")), **vars(common))


@cache
def grid_averages() -> tuple[GridAverage, ...]:
    """Every row of the file."""
    return read_factors(FILE, _make)


def starter_grid(carry_until_ms: int | None = None) -> list[dict[str, object]]:
    """The averages as rows of kind `grid` (stored names and units), by zone and start.

    All are marked estimated. known_from_ms is the end of the period: an average of a year is not
    known before. carry_until_ms: also give the latest figures of each zone again for the time from
    their end to this instant, saying so in `source`; None: a year without a figure stays unknown.
    """
    periods: dict[tuple[str, int, int], list[GridAverage]] = {}
    for row in grid_averages():
        assert row.valid_to_ms is not None  # _make saw to it
        periods.setdefault((row.zone, row.valid_from_ms, row.valid_to_ms), []).append(row)
    made = [_row(key, rows) for key, rows in sorted(periods.items()) if any(r.quantity == "direct" for r in rows)]
    if carry_until_ms is None:
        return made
    latest = {str(row["zone"]): row for row in made}
    carried = [
        {**row, "start_ms": row["end_ms"], "end_ms": carry_until_ms, "source": f"{row['source']}; carried forward"}
        for row in latest.values() if int(str(row["end_ms"])) < carry_until_ms
    ]
    return sorted(made + carried, key=lambda r: (str(r["zone"]), int(str(r["start_ms"]))))


def _row(key: tuple[str, int, int], rows: list[GridAverage]) -> dict[str, object]:
    zone, start_ms, end_ms = key
    direct = next(r for r in rows if r.quantity == "direct")
    sources = list(dict.fromkeys(f"{r.source} ({r.note})" if r.note else r.source for r in rows))
    return {
        "zone": zone, "start_ms": start_ms, "end_ms": end_ms,
        **{_COLUMNS[r.quantity]: r.value for r in rows},
        "flow_basis": direct.flow_basis, "known_from_ms": end_ms,
        "source": direct.shipped_source.removesuffix(direct.source) + "; ".join(sources), "estimated": True,
    }
