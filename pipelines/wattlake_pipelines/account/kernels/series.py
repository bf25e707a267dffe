"""Readings in order: one series after the other, each by time, each instant once, without outliers (rules 1.1, 1.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wattlake_pipelines.account.kernels.fleet import Fleet
from wattlake_pipelines.account.kernels.ranges import Ints, dense, expand, group_starts
from wattlake_pipelines.account.kernels.runs import BLOCK, Runs


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
    device = names // (2 * max(epochs, 1))
    power = names // max(epochs, 1) % 2
    lined = Series(runs.ts_ms, runs.value, runs.start, series, attribute, device, power, none, none)
    return _without_outliers(_without_duplicates(_in_order(lined), attributes)), attributes


def _in_order(given: Series) -> Series:
    """Sorted by (series, ts). Rows already sorted are not touched; sorted pieces are moved as blocks."""
    falls = _where_ts(given.ts_ms, falling=True)
    pieces = np.union1d(given.start, falls)
    series = given.series[given.run_of(pieces)]
    attribute = given.attribute[given.run_of(pieces)]
    lengths = np.diff(np.append(pieces, len(given.ts_ms)))
    begins, ends = given.ts_ms[pieces], given.ts_ms[pieces + lengths - 1]
    order = np.lexsort((begins, series))
    alike = series[order][1:] == series[order][:-1]
    if np.all(~alike | (ends[order][:-1] <= begins[order][1:])):
        if np.all(order[1:] > order[:-1]):
            return given
        _, index = expand(pieces[order], lengths[order])
        starts = np.cumsum(lengths[order]) - lengths[order]
        return replace(given, ts_ms=given.ts_ms[index], value=given.value[index], start=starts, series=series[order],
                       attribute=attribute[order])
    rows_series, rows_attribute = np.repeat(series, lengths), np.repeat(attribute, lengths)
    earliest, latest = int(given.ts_ms.min()), int(given.ts_ms.max())
    if (int(series.max()) + 1) * (latest - earliest + 1) < 1 << 62:
        index = np.argsort(rows_series * (latest - earliest + 1) + (given.ts_ms - earliest))
    else:
        index = np.lexsort((given.ts_ms, rows_series))
    rows_series, rows_attribute = rows_series[index], rows_attribute[index]
    starts = group_starts(rows_series, rows_attribute)
    return replace(given, ts_ms=given.ts_ms[index], value=given.value[index], start=starts, series=rows_series[starts],
                   attribute=rows_attribute[starts])


def _where_ts(ts_ms: Ints, *, falling: bool) -> Ints:
    """The readings whose ts is less than (falling) or the same as the one before, in whatever series."""
    found = [np.zeros(0, np.int64)]
    for low in range(0, len(ts_ms) - 1, BLOCK):
        high = min(low + BLOCK, len(ts_ms) - 1)
        later, earlier = ts_ms[low + 1:high + 1], ts_ms[low:high]
        hit = later < earlier if falling else later == earlier
        if hit.any():
            found.append(np.flatnonzero(hit) + (low + 1))
    return np.concatenate(found)


def _without_duplicates(given: Series, attributes: Attributes) -> Series:
    """Rule 1.1: of several readings at one ts the greatest (value, method, boundary, device_kind, simulated) stays."""
    again = np.setdiff1d(_where_ts(given.ts_ms, falling=False), given.first, assume_unique=True)
    if not len(again):
        return given
    rows = np.union1d(again, again - 1)
    group = np.cumsum(~np.isin(rows, again, assume_unique=True))
    held = given.attribute[given.run_of(rows)]
    value = given.value[rows]
    order = np.lexsort((attributes.simulated[held], attributes.device_kind[held], attributes.boundary[held],
                        attributes.method[held], value, group))
    starts = group_starts(group)
    last = np.append(starts[1:], len(rows)) - 1
    kept = rows[order[last]]
    differ = value[order[starts]] != value[order[last]]
    gone = np.setdiff1d(rows, kept, assume_unique=True)
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
    middle = np.union1d(falls, falls - 1)
    middle = middle[(middle > 0) & (middle < len(value) - 1)]
    middle = middle[~np.isin(middle, first) & ~np.isin(middle + 1, first)]
    middle = middle[given.power[given.series[given.run_of(middle)]] == 0]
    before, at, after = value[middle - 1], value[middle], value[middle + 1]
    out = middle[(before <= after) & ~((before <= at) & (at <= after))]
    if not len(out):
        return given
    left = given.without(out)
    return replace(left, skipped=np.unique(out + 1 - np.searchsorted(out, out + 1)))


def _where_value_falls(value: Ints) -> Ints:
    found = [np.zeros(0, np.int64)]
    for low in range(0, len(value) - 1, BLOCK):
        high = min(low + BLOCK, len(value) - 1)
        hit = value[low + 1:high + 1] < value[low:high]
        if hit.any():
            found.append(np.flatnonzero(hit) + (low + 1))
    return np.concatenate(found)
