"""Rows of tables as integers that keep their order: NULL first, strings by code point, false before true."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ranges import Ints

#: Stand for "since ever" and "for ever" where an interval has no start or no end.
EVER_MS, NEVER_MS = -(1 << 62), 1 << 62


def integers(column: pa.ChunkedArray, null: int = 0) -> Ints:
    """An int64 column as numpy, NULL as `null`."""
    return np.asarray(column.fill_null(null).to_numpy(), np.int64)


def ranks(column: pa.ChunkedArray) -> Ints:
    """The dense rank of each value from 1, NULL 0. Arrow orders strings by UTF-8 bytes, which is by code point."""
    codes = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_dictionary(codes.type):
        codes = codes.dictionary_encode()
    if isinstance(codes, pa.ChunkedArray):
        codes = codes.unify_dictionaries().chunk(0) if codes.num_chunks else pa.array([], codes.type)
    place = codes.indices.fill_null(-1).to_numpy().astype(np.int64)
    order = pc.rank(codes.dictionary, tiebreaker="dense").to_numpy().astype(np.int64)
    return np.asarray(np.append(order, 0)[place], np.int64)  # -1 takes the appended 0


def tuple_ranks(columns: Iterable[pa.ChunkedArray]) -> Ints:
    """The dense rank, from 0, of each row's tuple of values; rows with equal tuples share one."""
    code: Ints | None = None
    for column in columns:
        place = ranks(column)
        joined = place if code is None else code * (int(place.max(initial=0)) + 1) + place
        code = np.unique(joined, return_inverse=True)[1].astype(np.int64)
    if code is None:
        raise ValueError("tuples of no columns have no order")
    return code
