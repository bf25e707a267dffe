"""Averages of facilities: power and water usage effectiveness, and the water of generation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from wattlake_contracts.factors.factor import Factor, Line, read_factors

PUE_FILE, WATER_FILE = "pue.csv", "water.csv"
#: What a row is about, and the unit it must then have.
QUANTITIES = {"pue": "1", "wue_l_per_kwh": "L/kWh", "grid_water_l_per_kwh": "L/kWh"}


@dataclass(frozen=True, kw_only=True)
class FacilityAverage(Factor):
    """One quantity of one operator's fleet (or `default`, or a country) over one period."""

    operator: str
    quantity: str


def _make(line: Line) -> FacilityAverage:
    quantity = line.choice("quantity", tuple(QUANTITIES))
    common = line.common((QUANTITIES[quantity],))
    if quantity == "pue" and common.value < 1:
        raise line.wrong("a PUE is never below 1")
    return FacilityAverage(operator=line.text("operator"), quantity=quantity, **vars(common))


@cache
def pues() -> tuple[FacilityAverage, ...]:
    """Every row of the PUE file."""
    return read_factors(PUE_FILE, _make)


@cache
def waters() -> tuple[FacilityAverage, ...]:
    """Every row of the water file."""
    return read_factors(WATER_FILE, _make)


def facility_average(operator: str, quantity: str, ts_ms: int) -> FacilityAverage | None:
    """The operator's figure at an instant, else its latest one before; None if there is none.

    quantity: pue, wue_l_per_kwh or grid_water_l_per_kwh.
    """
    rows = [r for r in (*pues(), *waters()) if (r.operator, r.quantity) == (operator, quantity) and r.valid_from_ms <= ts_ms]
    return max(rows, key=lambda r: r.valid_from_ms, default=None)
