"""Looking up what held at an instant in disjoint segments."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ordering import integers
from wattlake_pipelines.account.kernels.ranges import Ints, last_at_or_before


def segment_at(segments: pa.Table, key: str, wanted: pa.ChunkedArray, at_ms: Ints) -> Ints:
    """For each wanted key and instant the row of `segments` in force then, -1 where there is none.

    segments: the columns `key`, start_ms and end_ms, disjoint per key, in any order. wanted: keys,
    NULL finds nothing; at_ms: int64 of the same length.
    """
    if not segments.num_rows or not len(wanted):
        return np.full(len(wanted), -1, np.int64)
    names = pc.unique(segments[key].drop_null())
    owner = _index(segments[key], names)
    start = integers(segments["start_ms"])
    order = np.lexsort((start, owner))
    edges = np.searchsorted(owner[order], np.arange(len(names) + 1))
    asked = _index(wanted, names)
    known = np.flatnonzero(asked >= 0)
    low, high = edges[asked[known]], edges[asked[known] + 1] - 1
    row = order[last_at_or_before(start[order], at_ms[known], low, high)]
    inside = (start[row] <= at_ms[known]) & (at_ms[known] < integers(segments["end_ms"])[row])
    found = np.full(len(wanted), -1, np.int64)
    found[known[inside]] = row[inside]
    return found


def take_or_null(column: pa.ChunkedArray, row: Ints) -> pa.ChunkedArray:
    """The values of these rows, NULL for row -1."""
    return column.take(pa.array(row, pa.int64(), mask=row < 0))


def _index(column: pa.ChunkedArray, names: pa.Array) -> Ints:
    return np.asarray(pc.index_in(column, value_set=names).fill_null(-1).to_numpy(), np.int64)
