"""Who was seen: fresh records and merged intervals against sets."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_pipelines.land.piece import RECORDS
from wattlake_pipelines.land.seen import SCHEMA, cut_back, fresh, merged

ids = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "xy"]), st.integers(0, 12))
records = st.lists(st.tuples(ids, st.integers(0, 3), st.integers(0, 3)), max_size=30)


def _records(rows: list[tuple[tuple[str, str, int], int, int]]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"kind": "jobs", "writer": w, "boot": b, "seq": s, "appended_ms": at, "crc": crc} for (w, b, s), crc, at in rows], RECORDS)


def _set(seen: pa.Table) -> set[tuple[str, str, int]]:
    return {(r["node"], r["boot"], s) for r in seen.to_pylist() for s in range(r["from_seq"], r["to_seq"])}


@settings(max_examples=examples(300), deadline=None)
@given(records, records)
def test_each_identity_is_fresh_once_and_never_again(first: list, second: list) -> None:
    seen = merged(SCHEMA.empty_table(), _records(first))
    assert _set(seen) == {identity for identity, _, _ in first}
    flags = fresh(_records(second), seen)
    taken = [row for row, keep in zip(second, flags, strict=True) if keep]
    expected = {identity for identity, _, _ in second} - {identity for identity, _, _ in first}
    assert sorted(identity for identity, _, _ in taken) == sorted(expected)
    for identity, crc, at in taken:
        assert (crc, at) == min((c, a) for i, c, a in second if i == identity)


@settings(max_examples=examples(300), deadline=None)
@given(records, records)
def test_merging_joins_neighbours_into_disjoint_intervals(first: list, second: list) -> None:
    seen = merged(merged(SCHEMA.empty_table(), _records(first)), _records(second))
    assert _set(seen) == {identity for identity, _, _ in (*first, *second)}
    rows = seen.to_pylist()
    for a, b in pairwise(rows):
        assert (a["node"], a["boot"]) < (b["node"], b["boot"]) or a["to_seq"] < b["from_seq"]


@settings(max_examples=examples(300), deadline=None)
@given(records, st.integers(0, 13))
def test_numbers_that_come_again_are_taken_out_of_one_boot_and_no_other(first: list, end: int) -> None:
    seen = cut_back(merged(SCHEMA.empty_table(), _records(first)), "x", end)
    assert seen.schema == SCHEMA
    assert _set(seen) == {(w, b, s) for (w, b, s), _, _ in first if b != "x" or s < end}
