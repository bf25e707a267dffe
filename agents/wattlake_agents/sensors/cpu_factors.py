"""The figures of the CPU-time model, from the factor files that come with Wattlake."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from dataclasses import dataclass
from importlib.resources import files

from wattlake_contracts.factors.tdp import Tdp, tdp_for

_FACTORS = files("wattlake_contracts") / "factors" / "cpu_model.csv"
#: The row for any model: it says less than the power per thread does.
_ANY_MODEL = ".*"


@dataclass(frozen=True)
class Curve:
    """Power over load, linear between points.

    load: 0..1, ascending. value_uw, low_uw, high_uw: the power of one package at each, in µW, and
    its range. source: where the figures come from.
    """

    load: tuple[float, ...]
    value_uw: tuple[float, ...]
    low_uw: tuple[float, ...]
    high_uw: tuple[float, ...]
    source: str

    def power_uw(self, load: float) -> int:
        """The power at a load; a load outside the curve counts as its end."""
        at = min(max(load, self.load[0]), self.load[-1])
        i = min(max(bisect_right(self.load, at), 1), len(self.load) - 1)
        x0, x1, y0, y1 = self.load[i - 1], self.load[i], self.value_uw[i - 1], self.value_uw[i]
        return round(y0 + (y1 - y0) * (at - x0) / (x1 - x0))


def power_curve(model: str | None, threads: int, *, virtual: bool) -> Curve:
    """The curve of a package with that many visible threads.

    A whole machine whose model has a known TDP: fraction of the TDP. A virtual machine sees only a
    part of a package, and an unknown model has no TDP: both are taken per thread.
    """
    rows = _rows()
    tdp = None if virtual or not model else known_tdp(model)
    if tdp is not None:
        points = [r for r in rows if r["quantity"] == "tdp_fraction"]
        low, high = (tdp.value if bound is None else bound for bound in (tdp.low, tdp.high))
        source = f"TDP {tdp.value:g} W ({tdp.source}) x load curve ({points[0]['source']})"
        return _curve(points, tdp.value * 1e6, low * 1e6, high * 1e6, source)
    points = [r for r in rows if r["quantity"] == "thread_power"]
    scale = threads * 1e6
    return _curve(points, scale, scale, scale, f"{threads} threads x power per thread ({points[0]['source']})")


def known_tdp(model: str) -> Tdp | None:
    """The TDP of a CPU model, or None if the factor file knows neither it nor its family."""
    found = tdp_for(model, "cpu")
    return None if found is None or found.name_pattern == _ANY_MODEL else found


def _curve(points: list[dict[str, str]], value: float, low: float, high: float, source: str) -> Curve:
    points = sorted(points, key=lambda r: float(r["at"]))
    return Curve(
        tuple(float(r["at"]) for r in points), tuple(float(r["value"]) * value for r in points),
        tuple(float(r["low"]) * low for r in points), tuple(float(r["high"]) * high for r in points), source,
    )


def _rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_FACTORS.read_text(encoding="utf-8"))))
