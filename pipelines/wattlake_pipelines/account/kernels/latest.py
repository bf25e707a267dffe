"""The latest word on each thing, column by column: a later row that leaves a column out does not wipe it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ranges import Ints


def latest(rows: pa.Table, group: Ints, order: Ints) -> dict[str, pa.ChunkedArray]:
    """Per column and group (0, 1, … all present) the last value in `order` that is given, else NULL.

    order: the rows sorted by group.
    """
    groups = int(group.max(initial=-1)) + 1
    return {name: rows[name].take(_last_given(rows[name], group, order, groups)) for name in rows.column_names}


def _last_given(column: pa.ChunkedArray, group: Ints, order: Ints, groups: int) -> pa.Array:
    given = order[pc.is_valid(column).to_numpy().astype(bool)[order]]
    found = np.full(groups, -1, np.int64)
    last = np.ones(len(given), bool)
    last[:-1] = group[given[1:]] != group[given[:-1]]
    found[group[given[last]]] = given[last]
    return pa.array(found, pa.int64(), mask=found < 0)
