"""Readings in order: one series after the other, each by time, each instant once, without outliers (rules 1.1, 1.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from wattlake_pipelines.account.kernels.fleet import Fleet
from wattlake_pipelines.account.kernels.ranges import Ints, among, dense, distinct, expand, group_starts, sort_order
from wattlake_pipelines.account.kernels.runs import Runs
from wattlake_pipelines.account.kernels.texts import BLOCK

#: Below this many readings a piece, on average, single readings are moved instead.
_SHORT = 64


@dataclass(frozen=True)
class Attributes:
    """The distinct sets of attributes of readings, as codes into sorted words."""

    method: Ints
    boundary: Ints
    device_kind: Ints
    simulated: Ints


@dataclass(frozen=True)
class Series:
    """Readings sorted by (series, ts); a series is a counter or the powers of a device (rules, section 1).

    ts_ms, value: per reading. start, series, attribute: per run of readings alike. device, power: per
    series; series are in order of (device, counters before powers, epoch). conflict: the readings
    kept out of several that differed. skipped: the readings before which outliers were left out.
    """

    ts_ms: Ints
    value: Ints
    start: Ints
    series: Ints
    attribute: Ints
    device: Ints
    power: Ints
    conflict: Ints
    skipped: Ints

    @property
    def first(self) -> Ints:
        """Where each series with readings begins, in order."""
        return self.start[group_starts(self.series)]

    def run_of(self, readings: Ints) -> Ints:
        """The run of each reading."""
        return np.searchsorted(self.start, readings, "right") - 1

    def without(self, gone: Ints) -> Series:
        """The same less some readings (ascending, distinct)."""
        if not len(gone):
            return self
        keep = np.ones(len(self.ts_ms), bool)
        keep[gone] = False
        start = self.start - np.searchsorted(gone, self.start)
        left = np.flatnonzero(np.diff(np.append(start, len(self.ts_ms) - len(gone))))
        conflict = self.conflict[keep[self.conflict]]
        return replace(
            self, ts_ms=self.ts_ms[keep], value=self.value[keep], start=start[left], series=self.series[left],
            attribute=self.attribute[left], conflict=conflict - np.searchsorted(gone, conflict),
        )


def line_up(runs: Runs, fleet: Fleet, run_device: Ints) -> tuple[Series, Attributes]:
    """The readings in order, each instant of a series once, outliers left out."""
    text = runs.text
    epochs = len(text["epoch"].words)
    life = np.where(runs.power, 0, text["epoch"].code)
    key = (run_device * 2 + runs.power) * epochs + life
    names, series = dense(key, fleet.devices * 2 * epochs)
    parts = [(text[name].code, len(text[name].words)) for name in ("method", "boundary", "device_kind")]
    mixed, size = np.zeros(len(key), np.int64), 1
    for code, words in [*parts, (runs.simulated.astype(np.int64), 2)]:
        mixed, size = mixed * words + code, size * words
    kinds, attribute = dense(mixed, size)
    unpacked = []
    for words in (2, *(words for _, words in reversed(parts))):
        kinds, code = np.divmod(kinds, max(words, 1))
        unpacked.append(code)
    simulated, device_kind, boundary, method = unpacked
    attributes = Attributes(method, boundary, device_kind, simulated)
    none = np.zeros(0, np.int64)
    lined = Series(runs.ts_ms, runs.value, runs.start, series, attribute, names // (2 * epochs), names // epochs % 2, none, none)
    again, falls = _steps(lined.ts_ms)
    ordered = _in_order(lined, falls)
    if ordered is not lined:
        again, _ = _steps(ordered.ts_ms)
    return _without_outliers(_without_duplicates(ordered, attributes, again)), attributes


def _in_order(given: Series, falls: Ints) -> Series:
    """Sorted by (series, ts), of readings whose ts falls at `falls`.

    Rows already sorted are not touched; pieces that are sorted, such as the hours of a counter, are moved whole.
    """
    rows = len(given.ts_ms)
    pieces = distinct(given.start, falls)
    run = given.run_of(pieces)
    series, attribute = given.series[run], given.attribute[run]
    lengths = np.diff(np.append(pieces, rows))
    begins, ends = given.ts_ms[pieces], given.ts_ms[pieces + lengths - 1]
    earliest = int(given.ts_ms.min())
    span = int(given.ts_ms.max()) - earliest + 1
    size = (int(series.max()) + 1) * span
    if len(pieces) * _SHORT <= rows or len(pieces) == len(given.start):
        order = sort_order(series * span + (begins - earliest), size) if size < 1 << 62 else np.lexsort((begins, series))
        alike = series[order][1:] == series[order][:-1]
        if np.all(~alike | (ends[order][:-1] <= begins[order][1:])):
            if np.all(order[1:] > order[:-1]):
                return given
            starts = np.cumsum(lengths[order]) - lengths[order]
            ts, value = (_moved(values, pieces[order], lengths[order]) for values in (given.ts_ms, given.value))
            return replace(given, ts_ms=ts, value=value, start=starts, series=series[order], attribute=attribute[order])
    row_series = np.repeat(series, lengths)
    index = sort_order(row_series * span + (given.ts_ms - earliest), size) if size < 1 << 62 else np.lexsort((given.ts_ms, row_series))
    row_series, row_attribute = row_series[index], np.repeat(attribute, lengths)[index]
    starts = group_starts(row_series, row_attribute)
    return replace(given, ts_ms=given.ts_ms[index], value=given.value[index], start=starts, series=row_series[starts],
                   attribute=row_attribute[starts])


def _moved(values: Ints, first: Ints, count: Ints) -> Ints:
    """The pieces [first, first + count) of values, one after the other."""
    if len(first) * _SHORT > len(values):
        return values[expand(first, count)[1]]
    pieces = pa.LargeListViewArray.from_arrays(pa.array(first), pa.array(count), pa.array(values))
    return np.asarray(pieces.flatten().to_numpy(zero_copy_only=False))


def _steps(ts_ms: Ints) -> tuple[Ints, Ints]:
    """The readings whose ts is the same as, and those whose ts is less than, that of the one before, in whatever series."""
    again, falls = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for low in range(0, len(ts_ms) - 1, BLOCK):
        high = min(low + BLOCK, len(ts_ms) - 1)
        later, earlier = ts_ms[low + 1:high + 1], ts_ms[low:high]
        hit = later <= earlier
        if hit.any():
            at = np.flatnonzero(hit)
            falling = later[at] < earlier[at]
            falls.append(at[falling] + (low + 1))
            again.append(at[~falling] + (low + 1))
    return np.concatenate(again), np.concatenate(falls)


def _without_duplicates(given: Series, attributes: Attributes, again: Ints) -> Series:
    """Rule 1.1: of several readings at one ts the greatest (value, method, boundary, device_kind, simulated) stays."""
    again = again[~among(given.first, again)]
    if not len(again):
        return given
    rows = distinct(again, again - 1)
    group = np.cumsum(~among(again, rows))
    held = given.attribute[given.run_of(rows)]
    value = given.value[rows]
    order = np.lexsort((attributes.simulated[held], attributes.device_kind[held], attributes.boundary[held],
                        attributes.method[held], value, group))
    starts = group_starts(group)
    last = np.append(starts[1:], len(rows)) - 1
    kept = rows[order[last]]
    differ = value[order[starts]] != value[order[last]]
    gone = rows[~among(np.sort(kept), rows)]
    return replace(given, conflict=np.sort(kept[differ])).without(gone)


def _without_outliers(given: Series) -> Series:
    """Rule 1.2: a reading of a counter out of line with both neighbours, which are in line, is left out."""
    value, first = given.value, given.first
    if given.power.all():  # powers rise and fall as they like
        return given
    falls = _where_value_falls(value)
    if not len(falls):
        return given
    falls = falls[given.power[given.series[given.run_of(falls)]] == 0]
    middle = distinct(falls, falls - 1)
    middle = middle[(middle > 0) & (middle < len(value) - 1)]
    middle = middle[~among(first, middle) & ~among(first, middle + 1)]
    middle = middle[given.power[given.series[given.run_of(middle)]] == 0]
    before, at, after = value[middle - 1], value[middle], value[middle + 1]
    out = middle[(before <= after) & ~((before <= at) & (at <= after))]
    if not len(out):
        return given
    left = given.without(out)
    return replace(left, skipped=distinct(out + 1 - np.searchsorted(out, out + 1)))


def _where_value_falls(value: Ints) -> Ints:
    found = [np.zeros(0, np.int64)]
    for low in range(0, len(value) - 1, BLOCK):
        high = min(low + BLOCK, len(value) - 1)
        hit = value[low + 1:high + 1] < value[low:high]
        if hit.any():
            found.append(np.flatnonzero(hit) + (low + 1))
    return np.concatenate(found)
