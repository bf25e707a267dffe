"""One timeline laid over another: what held while."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa


def overlay(base: pa.Table, other: pa.Table, on: str, columns: Mapping[str, str]) -> pa.Table:
    """Each segment of `base` cut where the segments of `other` with the same `on` begin and end.

    base, other: disjoint segments per key with start_ms, end_ms. columns: column of `other` → its
    name in the result; NULL where no segment of `other` holds, or `on` is NULL.
    """
    keys = pa.concat_tables([base.select([on]), other.select([on])])[on].combine_chunks().dictionary_encode().indices
    code = keys.fill_null(-1).to_numpy()
    mine, theirs = code[: base.num_rows], code[base.num_rows :]
    start, end = base["start_ms"].to_numpy(), base["end_ms"].to_numpy()
    o_start, o_end = other["start_ms"].to_numpy(), other["end_ms"].to_numpy()
    order = np.lexsort((o_start, theirs))
    rows: list[tuple[int, int, int, int]] = []
    found, firsts = np.unique(theirs[order], return_index=True)
    # cut to the keys' number: where `other` is empty there is no last one to end
    lasts = np.append(firsts[1:], len(order))[: len(found)]
    bounds = {int(k): (int(a), int(b)) for k, a, b in zip(found, firsts, lasts, strict=True)}
    for i, (k, a, b) in enumerate(zip(mine.tolist(), start.tolist(), end.tolist(), strict=True)):
        at = a
        first, last = bounds.get(k, (0, 0)) if k >= 0 else (0, 0)
        for j in order[first:last].tolist():
            s, e = max(int(o_start[j]), a), min(int(o_end[j]), b)
            if s >= e:
                continue
            if s > at:
                rows.append((i, -1, at, s))
            rows.append((i, j, s, e))
            at = e
        if at < b:
            rows.append((i, -1, at, b))
    taken = np.array(rows, np.int64).reshape(-1, 4)
    made = base.take(pa.array(taken[:, 0]))
    made = made.set_column(made.column_names.index("start_ms"), "start_ms", pa.array(taken[:, 2]))
    made = made.set_column(made.column_names.index("end_ms"), "end_ms", pa.array(taken[:, 3]))
    which = pa.array(taken[:, 1], mask=taken[:, 1] < 0)
    for name, called in columns.items():
        made = made.append_column(called, other[name].take(which))
    return made
