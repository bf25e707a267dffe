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

#: What the rows of a run have in common.
ATTRIBUTES = ("node", "device", "device_kind", "epoch", "method", "boundary", "simulated")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Rows and their runs.

    rows: columns ts_ms, energy_mj, power_mw. attributes: one row per run, columns ATTRIBUTES.
    starts, lengths: where each run's rows lie; rows of no run do not count.
    """

    rows: pa.Table
    attributes: pa.Table
    starts: Ints
    lengths: Ints

    def select(self, chosen: Ints) -> Runs:
        """Only these runs, in this order; the rows stay where they are."""
        return Runs(self.rows, self.attributes.take(pa.array(chosen)), self.starts[chosen], self.lengths[chosen])


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
    """A table of readings as runs; cuts: rows at which a run begins in any case (records, hours)."""
    if table.num_rows == 0:
        return Runs(table.select(["ts_ms", "energy_mj", "power_mw"]), table.select(list(ATTRIBUTES)), np.empty(0, np.int64), np.empty(0, np.int64))
    parts = {name: run_bounds(table[name]) for name in ATTRIBUTES}
    starts = np.unique(np.concatenate([cuts, *(s for s, _ in parts.values())]))
    attributes = pa.table({name: values.take(pa.array(np.searchsorted(s, starts, side="right") - 1)) for name, (s, values) in parts.items()})
    return Runs(table.select(["ts_ms", "energy_mj", "power_mw"]), attributes, starts, np.diff(starts, append=table.num_rows))


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
