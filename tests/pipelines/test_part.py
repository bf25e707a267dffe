"""Parts of tables, joined."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from wattlake_pipelines.part import Part, joined


@given(cuts=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=12))
def test_parts_of_tables_are_joined_in_their_order_neighbours_or_not(cuts: list[tuple[int, int, int]]) -> None:
    tables = [pa.table({"a": list(range(12))}), pa.table({"a": list(range(100, 112))})]
    parts = [Part(tables[which], start, count) for which, start, count in cuts]
    assert joined(parts)["a"].to_pylist() == [value for part in parts for value in part.table["a"].to_pylist()]
