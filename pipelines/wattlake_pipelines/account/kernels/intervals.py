"""Intervals between readings, held as stretches: runs of intervals that are alike (rules 1.3 to 1.5)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from wattlake_contracts.layout import HOUR_MS
from wattlake_pipelines.account.kernels.counter import implausible
from wattlake_pipelines.account.kernels.fleet import Inventory
from wattlake_pipelines.account.kernels.ranges import Bools, Ints, among, distinct, expand, group_starts
from wattlake_pipelines.account.kernels.series import Attributes, Series
from wattlake_pipelines.account.kernels.texts import BLOCK

#: The classes of energy, in the order in which they win where intervals overlap.
MEASURED, INTEGRATED, ESTIMATED, IMPUTED = range(4)
CLASSES = 4
CONFLICT, IMPLAUSIBLE, OUTLIER, OVERLAP, OVERSUBSCRIBED, PARTS_MISSING = (1 << i for i in range(6))
#: In alphabetical order, bit by bit.
FLAGS = ("conflict", "implausible", "outlier", "overlap", "oversubscribed", "parts_missing")


@dataclass(frozen=True)
class Stretches:
    """Consecutive intervals of one series that are alike, one after the other without a gap.

    [start_ms, end_ms) lies within the readings low to high; all int64, one row per stretch.
    """

    device: Ints
    series: Ints
    start_ms: Ints
    end_ms: Ints
    low: Ints
    high: Ints
    grade: Ints
    attribute: Ints
    flags: Ints

    def take(self, rows: Ints | Bools) -> Stretches:
        """Some of them, in the order given."""
        return Stretches(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.device)


def find_stretches(series: Series, total_mj: Ints, attributes: Attributes, methods: pa.Array, inventory: Inventory,
                   long_gap_ms: int, longest_gap_ms: int, ratio: float) -> Stretches:
    """The intervals of sorted readings (rule 1.3), with class, attributes and flags, as stretches by (series, start).

    total_mj: the cumulative energy per reading. An interval is named by the reading that ends it.
    """
    ts, first = series.ts_ms, series.first
    run_device = series.device[series.series]
    limit = _limits(inventory, run_device, ratio)
    odd, suspect = _scan(ts, total_mj, series.start, first, limit, min(long_gap_ms, longest_gap_ms))
    suspect = suspect[ts[suspect] - ts[suspect - 1] <= longest_gap_ms]
    dropped = _implausible(ts, total_mj, suspect, run_device[series.run_of(suspect)], inventory, ratio)
    touched = distinct(series.conflict, series.conflict + 1)
    # next to one that is dropped; at an end of a series that names no interval, and is left out below
    beside = distinct(dropped - 1, dropped + 1)
    special = np.concatenate([odd, dropped, touched, beside, series.skipped])
    ends = distinct(series.start, first + 1, special, special + 1)
    ends = ends[ends < len(ts)]
    ends = ends[~among(first, ends)]
    run = series.run_of(ends)
    length = ts[ends] - ts[ends - 1]
    counter = series.power[series.series[run]] == 0
    gone = among(dropped, ends) | (counter & (total_mj[ends] < total_mj[ends - 1])) | (length > longest_gap_ms)
    grade = _grades(methods)[attributes.method[series.attribute[run]]]
    grade = np.where(~counter & (grade == MEASURED), INTEGRATED, grade)
    grade = np.where(length > long_gap_ms, IMPUTED, grade)
    flags = CONFLICT * among(touched, ends) + OUTLIER * among(series.skipped, ends)
    alone = np.where(among(beside, ends), ends, 0)
    begins = group_starts(series.series[run], series.attribute[run], grade, flags, gone, alone)
    at, run = ends[begins], run[begins]
    series_end = np.append(first[1:], len(ts))[np.searchsorted(first, at, "right") - 1]
    high = np.minimum(np.append(at[1:], len(ts)), series_end) - 1
    made = Stretches(run_device[run], series.series[run], ts[at - 1], ts[high], at - 1, high, grade[begins],
                     series.attribute[run], flags[begins].astype(np.int64))
    return _beside(made.take(~gone[begins]), dropped)


def _beside(held: Stretches, dropped: Ints) -> Stretches:
    """The intervals next to a dropped one flagged in the hours that this one lies in; each is a stretch of its own."""
    before, after = among(dropped, held.low), among(dropped, held.high + 1)
    rows = np.flatnonzero(before | after)
    if not len(rows):
        return held
    start, end = held.start_ms[rows], held.end_ms[rows]
    # flagged to the end of the hour that the one before ends in, and from the start of the hour that the one after begins in
    upto = np.where(before[rows], np.minimum(-(-start // HOUR_MS) * HOUR_MS, end), start)
    since = np.maximum(np.where(after[rows], np.maximum(end // HOUR_MS * HOUR_MS, start), end), upto)
    count = np.ones(len(held), np.int64)
    count[rows] = 3
    made = held.take(np.repeat(np.arange(len(held)), count))
    at = (np.cumsum(count) - count)[rows]
    for part, (begins, ends, flag) in enumerate(((start, upto, IMPLAUSIBLE), (upto, since, 0), (since, end, IMPLAUSIBLE))):
        made.start_ms[at + part], made.end_ms[at + part] = begins, ends
        made.flags[at + part] |= flag
    return made.take(made.start_ms < made.end_ms)


def _grades(methods: pa.Array) -> Ints:
    """The class of each method's counter readings; what is not known better is estimated."""
    known = {"counter": MEASURED, "integrated": INTEGRATED}
    return np.array([known.get(word, ESTIMATED) for word in methods.to_pylist()], np.int64)


def _limits(inventory: Inventory, run_device: Ints, ratio: float) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """Per run, a power x 1000 that a plausible interval stays under; None where no device has one."""
    known = inventory.max_power_mw >= 0
    if not known.any():
        return None
    size = int(max(inventory.device.max(), run_device.max())) + 1
    least = np.full(size, np.inf)
    np.minimum.at(least, inventory.device[known], inventory.max_power_mw[known] * ratio * (1 - 1e-9))
    return least[run_device]


def _scan(ts: Ints, total: Ints, start: Ints, first: Ints, limit: np.ndarray[tuple[int], np.dtype[np.float64]] | None,
          long_gap_ms: int) -> tuple[Ints, Ints]:
    """(intervals that are long or fall, intervals that may be implausible), each named by its last reading.

    Block by block, so that no difference of all readings is ever held.
    """
    odd, suspect = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for low in range(0, len(ts) - 1, BLOCK):
        high = min(low + BLOCK, len(ts) - 1)
        length = ts[low + 1:high + 1] - ts[low:high]
        energy = total[low + 1:high + 1] - total[low:high]
        between = first[np.searchsorted(first, low + 1):np.searchsorted(first, high + 1)] - (low + 1)
        length[between], energy[between] = long_gap_ms, 0
        if length.max() > long_gap_ms or energy.min() < 0:
            odd.append(np.flatnonzero((length > long_gap_ms) | (energy < 0)) + (low + 1))
        if limit is not None:
            run = np.searchsorted(start, low + 1, "right") - 1
            last = np.searchsorted(start, high + 1)
            begins = np.maximum(start[run:last] - (low + 1), 0)
            most, least = np.maximum.reduceat(energy, begins), np.minimum.reduceat(length, begins)
            over = np.flatnonzero(most * 1000.0 > limit[run:last] * least)
            counts = np.diff(np.append(begins, high - low))[over]
            suspect.append(expand(begins[over] + (low + 1), counts)[1])
    found = np.concatenate(suspect)
    return np.concatenate(odd), found[~among(first, found)]


def _implausible(ts: Ints, total: Ints, ends: Ints, device: Ints, inventory: Inventory, ratio: float) -> Ints:
    """Those of the intervals that draw more than any machine does (rule 1.3), by the inventory at their start."""
    if not len(ends):
        return ends
    row = inventory.in_force(device, ts[ends - 1])
    known = (row >= 0) & (inventory.max_power_mw[row] >= 0)
    ends, row = ends[known], row[known]
    return ends[implausible(total[ends] - total[ends - 1], inventory.max_power_mw[row], ts[ends] - ts[ends - 1], ratio)]
