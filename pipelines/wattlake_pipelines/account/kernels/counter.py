"""Energy as a cumulative amount per reading, and at any instant between two (rules 1.3 and the end of section 1)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from wattlake_pipelines.account.kernels.ranges import Ints, last_at_or_before
from wattlake_pipelines.account.kernels.rounding import rounded_share
from wattlake_pipelines.account.kernels.series import Series
from wattlake_pipelines.account.kernels.texts import BLOCK


def cumulative(series: Series) -> Ints:
    """mJ per reading such that the difference of two of one series is the energy between them.

    A counter is that already. Powers are summed interval by interval; the sum runs on from one
    series to the next, counters between them included, and may wrap at 2^63, which no difference
    within a series shows.
    """
    powers = series.power[series.series] == 1
    if not powers.any():
        return series.value
    total = _trapezoids(series.value, series.ts_ms)
    np.cumsum(total, out=total)
    if not powers.all():
        np.copyto(total, series.value, where=np.repeat(~powers, np.diff(np.append(series.start, len(total)))))
    return total


def _trapezoids(power_mw: Ints, ts_ms: Ints) -> Ints:
    """Energy from the reading before to each, mJ: floor(((a + b) x ms + 1000) / 2000), the trapezoid rounded half up; 0 for the first.

    Where the product might not fit, as with a gap of years, the sum is divided first.
    """
    energy = np.zeros(len(ts_ms), np.int64)
    for low in range(1, len(ts_ms), BLOCK):
        high = min(low + BLOCK, len(ts_ms))
        length = ts_ms[low:high] - ts_ms[low - 1:high - 1]
        total = power_mw[low:high] + power_mw[low - 1:high - 1]
        if (int(total.max()) + 1) * (int(np.abs(length).max()) + 1) < 1 << 62:
            energy[low:high] = (total * length + 1000) // 2000
        else:
            whole = total // 2000
            energy[low:high] = whole * length + ((total - whole * 2000) * length + 1000) // 2000
    return energy


def energy_at(ts_ms: Ints, total_mj: Ints, at_ms: Ints, low: Ints, high: Ints) -> Ints:
    """The cumulative energy at instants, interpolated and rounded half up once; mJ.

    ts_ms, total_mj: the readings. Each instant lies within [ts_ms[low], ts_ms[high]], low < high, and
    readings low to high are of one series.
    """
    left = last_at_or_before(ts_ms, at_ms, low, high - 1)
    start, base = ts_ms[left], total_mj[left]
    return base + rounded_share(total_mj[left + 1] - base, at_ms - start, ts_ms[left + 1] - start)


def implausible(energy_mj: Ints, max_power_mw: Ints, length_ms: Ints, ratio: float) -> Ints:
    """Which rows have energy_mj x 1000 > ratio x max_power_mw x length_ms; exact, the ratio being its float64 value."""
    drawn = energy_mj.astype(np.float64) * 1000.0
    allowed = max_power_mw.astype(np.float64) * length_ms * ratio
    # float64 is right but where both are within a few roundings of each other; there, integers of any size
    over = drawn > allowed
    near = np.flatnonzero(np.abs(drawn - allowed) <= 1e-12 * np.maximum(drawn, allowed))
    if len(near):
        exact = Fraction(ratio)
        energy, power, length = (a[near].astype(object) for a in (energy_mj, max_power_mw, length_ms))
        over[near] = (energy * (1000 * exact.denominator) > power * length * exact.numerator).astype(bool)
    return np.flatnonzero(over)
