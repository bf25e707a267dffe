"""Requests and tokens per hour, from cumulative counters (docs/accounting.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.layout import HOUR_MS, LONGEST_GAP_MS
from wattlake_contracts.tables import FACT_SERVING
from wattlake_pipelines.account.kernels.ordering import integers, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Bools, Ints, expand, group_starts
from wattlake_pipelines.account.kernels.rounding import rounded_share
from wattlake_pipelines.arrow_schema import conform, table_schema

COUNTERS = ("requests", "tokens_in", "tokens_out", "tokens_cached", "units")
_SERIES = ("model", "node", "job", "site", "unit", "epoch")
_KEY = ("model", "job", "node", "site", "unit", "simulated")


@dataclass(frozen=True)
class _Counter:
    """One counter's values, and where they are known."""

    value: Ints
    known: Bools

    def at(self, row: Ints) -> _Counter:
        """The counter on these rows."""
        return _Counter(self.value[row], self.known[row])


def serving_facts(rows: pa.Table, hours_ms: Ints) -> pa.Table:
    """fact_serving for these hours.

    rows: the columns of raw_serving, in any order, repeated or not. hours_ms: the starts of hours. A
    row exists where an interval touches the hour; a counter that is NULL at an end of an interval is
    unknown there, and an hour adds up what is known, NULL if nothing. Sorted by start_ms, model,
    job, node, site, unit, simulated, NULL first.
    """
    hours = np.unique(np.asarray(hours_ms, np.int64))
    readings, series = _in_order(rows)
    ts = integers(readings["ts_ms"])
    counters = {name: _Counter(integers(readings[name]), pc.is_valid(readings[name]).to_numpy().astype(bool)) for name in COUNTERS}
    left = np.flatnonzero(~_outliers(series, counters))
    first, last = _intervals(series, ts, counters, left)

    low = np.searchsorted(hours + HOUR_MS, ts[first], side="right")
    interval, hour = expand(low, np.searchsorted(hours, ts[last]) - low)
    begin, end = first[interval], last[interval]
    from_ms = np.maximum(hours[hour], ts[begin]) - ts[begin]
    to_ms = np.minimum(hours[hour] + HOUR_MS, ts[end]) - ts[begin]
    length = ts[end] - ts[begin]

    key = tuple_ranks(readings[name] for name in _KEY)[end]
    order = np.lexsort((key, hour))
    heads = group_starts(hour[order], key[order])
    row = end[order[heads]]
    start = hours[hour[order[heads]]]
    made = {"start_ms": pa.array(start, pa.int64()), "end_ms": pa.array(start + HOUR_MS, pa.int64())}
    named = readings.select(list(_KEY)).take(pa.array(row, pa.int64()))
    made |= {name: named[name] for name in _KEY}
    for name, counter in counters.items():
        a, b = counter.at(begin), counter.at(end)
        known = a.known & b.known
        growth = np.where(known, b.value - a.value, 0)
        grown = rounded_share(growth, to_ms, length) - rounded_share(growth, from_ms, length)
        made[name] = _summed(grown[order], known[order], heads)
    return conform(pa.table(made), table_schema(FACT_SERVING))


def _in_order(rows: pa.Table) -> tuple[pa.Table, Ints]:
    """The readings sorted by series and time, each instant once: of several the greatest (counters…, simulated)."""
    series, ts = tuple_ranks(rows[name] for name in _SERIES), integers(rows["ts_ms"])
    value = tuple_ranks(rows[name] for name in (*COUNTERS, "simulated"))
    order = np.lexsort((value, ts, series))
    last = np.append(group_starts(series[order], ts[order])[1:], len(order)) - 1 if len(order) else order
    kept = order[last]
    return rows.take(pa.array(kept, pa.int64())), series[kept]


def _outliers(series: Ints, counters: dict[str, _Counter]) -> Bools:
    """Which readings have a counter out of line with both neighbours, which agree with each other."""
    out = np.zeros(len(series), bool)
    if len(series) < 3:
        return out
    inner = (series[:-2] == series[1:-1]) & (series[1:-1] == series[2:])
    for counter in counters.values():
        before, here, after = counter.value[:-2], counter.value[1:-1], counter.value[2:]
        known = counter.known[:-2] & counter.known[1:-1] & counter.known[2:]
        out[1:-1] |= inner & known & (before <= after) & ((here < before) | (here > after))
    return out


def _intervals(series: Ints, ts: Ints, counters: dict[str, _Counter], left: Ints) -> tuple[Ints, Ints]:
    """(first, last) reading of each interval: neighbours of a series, not too far apart, between which no counter falls."""
    a, b = left[:-1], left[1:]
    good = (series[a] == series[b]) & (ts[b] - ts[a] <= LONGEST_GAP_MS)
    for counter in counters.values():
        good &= ~(counter.known[a] & counter.known[b] & (counter.value[b] < counter.value[a]))
    return a[good], b[good]


def _summed(grown: Ints, known: Bools, heads: Ints) -> pa.Array:
    """The sum of each group, NULL where nothing of it is known. Rows are sorted by group."""
    if not len(heads):
        return pa.array([], pa.int64())
    return pa.array(np.add.reduceat(grown, heads), pa.int64(), mask=~np.logical_or.reduceat(known, heads))
