"""Numbers as people read them: three significant digits and a sensible unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: What is not known is said so; it is never shown as 0.
UNKNOWN = "unknown"
_DIGITS = 3


@dataclass(frozen=True)
class Scale:
    """A quantity's units, from small to large. Each is `factor` base units."""

    units: tuple[tuple[str, float], ...]

    def unit_for(self, values: Iterable[float | None]) -> tuple[str, float]:
        """The unit in which the largest of the values is at least 1; the smallest unit if none is."""
        largest = max((abs(v) for v in values if v is not None), default=0.0)
        found = self.units[0]
        for unit in self.units:
            # what is rounded up to the next unit's 1 is written in that unit
            if _rounded(largest / unit[1]) >= 1:
                found = unit
        return found

    def shown_range(self, low: float, high: float) -> str:
        """Both ends in the one unit that suits the higher."""
        name, factor = self.unit_for([low, high])
        return f"{digits(low / factor)} to {digits(high / factor)} {name}"

    def shown(self, value: float | None) -> str:
        """The value with its own best unit; `unknown` for None."""
        if value is None:
            return UNKNOWN
        if value == 0:
            return f"0 {next(name for name, factor in self.units if factor == 1)}"
        name, factor = self.unit_for([value])
        return f"{digits(value / factor)} {name}"


#: from kWh; below 1 Wh in joules, for mWh is too easily read as MWh
ENERGY = Scale((("mJ", 1 / 3.6e9), ("J", 1 / 3.6e6), ("Wh", 1e-3), ("kWh", 1.0), ("MWh", 1e3), ("GWh", 1e6)))
#: from kg
MASS = Scale((("µg", 1e-9), ("mg", 1e-6), ("g", 1e-3), ("kg", 1.0), ("t", 1e3), ("kt", 1e6)))
#: from litres
VOLUME = Scale((("mL", 1e-3), ("L", 1.0), ("m³", 1e3)))
#: from hours
DURATION = Scale((("s", 1 / 3600), ("min", 1 / 60), ("h", 1.0)))
#: from GB
DATA = Scale((("kB", 1e-6), ("MB", 1e-3), ("GB", 1.0), ("TB", 1e3), ("PB", 1e6)))


def digits(value: float | None) -> str:
    """Three significant digits, thousands separated, no exponent: 0.0123, 1.23, 12.3, 123, 12,300."""
    if value is None:
        return UNKNOWN
    rounded = _rounded(value)
    if rounded == 0:
        return "0"
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def share(value: float | None) -> str:
    """A share as a percentage: 0 % and 100 % only where it is exactly that."""
    if value is None:
        return UNKNOWN
    if value in {0, 1}:
        return f"{value * 100:.0f} %"
    percent = 100 * value
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{digits(percent)} %"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
