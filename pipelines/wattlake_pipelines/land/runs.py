"""Readings as runs: consecutive rows that share all their strings, so that work per row is numbers only.

An agent's message holds a minute of one device after the other: a dozen runs of sixty rows. Whatever
depends on node, device, epoch … is done once per run; rows are only gathered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wattlake_contracts.layout import HOUR_MS

#: What the rows of a run have in common.
ATTRIBUTES = ("node", "device", "device_kind", "epoch", "method", "boundary", "simulated")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Rows and their runs.

    ts_ms, value: per row; the value is a power in mW or a counter in mJ, as its run says. starts,
    lengths: where each run's rows lie; rows of no run do not count. Within a run time does not fall,
    and all is one hour. text: for each run its row in `texts`, which has the columns ATTRIBUTES and
    `power` (bool).
    """

    ts_ms: Ints
    value: Ints
    starts: Ints
    lengths: Ints
    text: Ints
    texts: pa.Table

    def select(self, chosen: Ints) -> Runs:
        """Only these runs, in this order; the rows stay where they are."""
        return Runs(self.ts_ms, self.value, self.starts[chosen], self.lengths[chosen], self.text[chosen], self.texts)


def run_bounds(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """(start of each run, its value): equal neighbours of a column make a run; chunks may cut one."""
    encoded = pc.run_end_encode(column, run_end_type=pa.int32())
    starts, values, base = [], [], 0
    for chunk in encoded.chunks:
        if len(chunk) == 0:
            continue
        ends = chunk.run_ends.to_numpy(zero_copy_only=True)
        start = np.empty(len(ends), np.int64)
        start[0] = base
        np.add(ends[:-1], base, out=start[1:], casting="safe")
        starts.append(start)
        values.append(chunk.values)
        base += len(chunk)
    if not starts:
        return np.empty(0, np.int64), pa.array([], column.type)
    return np.concatenate(starts), pa.concat_arrays(values)


def to_runs(table: pa.Table, cuts: Ints) -> Runs:
    """A table of checked readings as runs; cuts: rows at which a run begins in any case (records), ascending."""
    none = np.empty(0, np.int64)
    power = table["energy_mj"].is_null()
    parts = {name: run_bounds(table[name]) for name in ATTRIBUTES} | {"power": run_bounds(power)}
    if table.num_rows == 0:
        return Runs(none, none, none, none, none, pa.table({name: values for name, (_, values) in parts.items()}))
    # each reading has exactly one of the two
    value = pc.coalesce(table["energy_mj"], table["power_mw"]).to_numpy()
    starts = np.unique(np.concatenate([cuts, *(s for s, _ in parts.values())]))
    texts = pa.table({name: values.take(pa.array(np.searchsorted(s, starts, side="right") - 1)) for name, (s, values) in parts.items()})
    ts_ms = table["ts_ms"].to_numpy()
    begins, text = cut_at_hours(ts_ms, starts)
    return Runs(ts_ms, value, begins, np.diff(begins, append=len(ts_ms)), text, texts)


def cut_at_hours(ts_ms: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """(starts, given run of each): runs that take all rows, cut also where time falls and where the hour changes."""
    falls = np.flatnonzero(ts_ms[1:] < ts_ms[:-1]) + 1
    begins = np.union1d(starts, falls) if len(falls) else starts
    lengths = np.diff(begins, append=len(ts_ms))
    # time does not fall in a run, so its first and its last row tell
    crossing = np.flatnonzero(ts_ms[begins] // HOUR_MS != ts_ms[begins + lengths - 1] // HOUR_MS)
    if len(crossing):
        rows = gather_index(begins, lengths, crossing)
        changes = np.flatnonzero(np.diff(ts_ms[rows] // HOUR_MS)) + 1
        begins = np.union1d(begins, rows[changes])
    return begins, np.searchsorted(starts, begins, side="right") - 1


def gather_index(starts: Ints, lengths: Ints, order: Ints) -> Ints:
    """Row numbers that put runs into this order: for each run in turn, its rows."""
    lengths = lengths[order]
    ends = np.cumsum(lengths)
    index = np.repeat(starts[order] - (ends - lengths), lengths)
    index += np.arange(ends[-1] if len(ends) else 0)
    return index


def codes(values: pa.Array | pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """(code of each value, distinct values in the order of their codes): codes sort as the strings do by code point."""
    encoded = values.combine_chunks().dictionary_encode() if isinstance(values, pa.ChunkedArray) else values.dictionary_encode()
    distinct = encoded.dictionary
    order = pc.array_sort_indices(distinct).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], distinct.take(pa.array(order))
